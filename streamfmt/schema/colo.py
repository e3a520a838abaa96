"""COLO as data: what each side does when something happens, which messages pass, and what every failure leads to.

Both guests run; what they send is compared, and a difference is the reason for the next checkpoint.  What is not
common to both sides is what they do when the other one fails: the primary goes on alone, and the secondary does so if
it has a whole checkpoint and the primary is gone rather than talking nonsense.

Sources: tools/libs/light/libxl_colo_save.c and libxl_colo_restore.c; tools/libs/guest/xg_sr_restore.c
handle_checkpoint and xg_sr_save.c save; docs/specs/libxl-migration-stream.pandoc, CHECKPOINT_STATE.
"""

from __future__ import annotations

from dataclasses import dataclass

from .transitions import NOTHING, OTHER, Automaton

# What the secondary's toolstack has of its guest (libxl_colo.h): not built yet; built, and standing; built, and
# running, or about to.
SETUPED, SUSPENDED, RESUMED = "SETUPED", "SUSPENDED", "RESUMED"
# Whose guest goes on where both sides may have one.
OURS, THEIRS = "ours", "theirs"

_FAILURES = {
    "lost": "the link failed, has ended, or nothing has come for too long",
    "refused": "something came that must not come there",
    "failed": "what this side had to do has failed",
    "abort": "the caller wants the end",
}
_CLAIMED = {OURS: "this side's guest is the one that goes on", THEIRS: "the other side's is"}
_TORN = {"torn down": "nothing is left of what was set up"}

PRIMARY = Automaton(
    "COLO primary",
    "The side whose guest everybody sees.  Whatever fails, its guest goes on, unless the secondary's has been given "
    "that right.",
    "tools/libs/light/libxl_colo_save.c; tools/libs/guest/xg_sr_save.c, save",
    "idle",
    ("kept", "ended"),
    {
        "idle": "nothing has begun",
        "greeting": "waits for the secondary to be there",
        "copying": "all memory goes; the guest stands at the end of that",
        "capturing": "what either side has written goes; the state is copied",
        "closing": "the rest goes, up to CHECKPOINT_END; waits for SVM_READY: the secondary has taken it up",
        "resuming": "its own guest runs again; waits for SVM_RESUMED",
        "running": "both guests run; waits for a reason for another checkpoint",
        "suspending": "NEW has gone and its own guest stands; waits for SVM_SUSPENDED",
        "merging": "waits for the list of frames that the secondary has written",
        "ending": "it ends; whose guest goes on is found out",
        "keeping": "it ends, and its guest goes on",
        "destroying": "it ends, and its guest stands",
        "kept": "the guest goes on here alone",
        "ended": "the secondary's guest goes on; the copy here stands",
    },
    {
        "start": "the caller wants the guest protected",
        "GREETING": "the secondary is there",
        "copied": "the memory has gone, and the guest stands",
        "captured": "the checkpoint is there",
        "SVM_READY": "the secondary has taken it up",
        "SVM_RESUMED": "the secondary's guest runs",
        "wanted": "the outputs differ, or the longest time between checkpoints has passed",
        "SVM_SUSPENDED": "the secondary's guest stands",
        "listed": "its list has come, and both sides' frames are known",
        **_FAILURES,
        **_CLAIMED,
        **_TORN,
    },
    {
        "await_greeting": "wait for the greeting",
        "send_memory": "send all headers and all memory; the guest stands at the end; devices: postsuspend",
        "capture": "send the frames; copy the state of the guest, which stands",
        "send_checkpoint": "send the state, CHECKPOINT, the device model's state, CHECKPOINT_END; wait for SVM_READY",
        "resume": "devices: preresume; let the guest run; wait for SVM_RESUMED",
        "watch": "devices: commit; let go what is compared equal, until it differs or the time has passed",
        "announce": "send NEW; suspend the guest; devices: postsuspend; wait for SVM_SUSPENDED",
        "merge": "read the list of frames; add those written here",
        "claim": "find out whose guest goes on",
        "keep": "log writes no longer; devices: release; let the guest run, if it ever ran",
        "end_own": "devices: drop; stop the guest",
        "report": "say how it ended, once",
    },
    (
        ("idle", "start", "await_greeting", "greeting"),
        ("greeting", "GREETING", "send_memory", "copying"),
        ("copying", "copied", "capture", "capturing"),
        ("capturing", "captured", "send_checkpoint", "closing"),
        ("closing", "SVM_READY", "resume", "resuming"),
        ("resuming", "SVM_RESUMED", "watch", "running"),
        ("running", "wanted", "announce", "suspending"),
        ("suspending", "SVM_SUSPENDED", "merge", "merging"),
        ("merging", "listed", "capture", "capturing"),
        ("ending", OURS, "keep", "keeping"),
        ("ending", THEIRS, "end_own", "destroying"),
        ("ending", "abort", NOTHING, "ending"),
        ("keeping", "torn down", "report", "kept"),
        ("keeping", "abort", NOTHING, "keeping"),
        ("destroying", "torn down", "report", "ended"),
        *(("destroying", event, NOTHING, "destroying") for event in (*_FAILURES, OTHER)),
        *(
            (state, event, "end_own", "destroying")
            for state in ("ending", "keeping")
            for event in _FAILURES
            if event != "abort"
        ),
        *((state, OTHER, "end_own", "destroying") for state in ("ending", "keeping")),
        *(("idle", event, NOTHING, "idle") for event in _FAILURES),
    ),
    (*((event, "claim", "ending") for event in _FAILURES), (OTHER, "claim", "ending")),
    {},
)

# States of the secondary in which it has a whole checkpoint, so that it can do without its primary.
_WHOLE = ("offering", "telling", "waiting", "answering", "listing", "queueing", "ready")

SECONDARY = Automaton(
    "COLO secondary",
    "The side whose guest runs along, and is seen by nobody until the primary is gone.",
    "tools/libs/light/libxl_colo_restore.c; tools/libs/guest/xg_sr_restore.c, handle_checkpoint",
    "idle",
    ("survived", "destroyed"),
    {
        "idle": "nothing has begun",
        "receiving": "the first checkpoint comes",
        "building": "the guest is being built from it",
        "preparing": "writes begin to be logged, devices are set up",
        "offering": "the first SVM_READY goes",
        "starting": "the guest is let run",
        "telling": "SVM_RESUMED goes",
        "waiting": "both guests run; waits for NEW",
        "suspending": "the guest is stopped",
        "answering": "SVM_SUSPENDED goes",
        "listing": "the list of frames that the guest has written goes",
        "queueing": "a checkpoint comes, and is kept until it is whole",
        "taking up": "it becomes the guest's state",
        "ready": "SVM_READY goes",
        "surviving": "the primary is gone: the guest here takes over",
        "destroying": "the guest here is ended",
        "survived": "the guest runs here, alone",
        "destroyed": "there is no guest here",
    },
    {
        "start": "the caller wants to be a secondary",
        "checkpoint": "a checkpoint is whole, CHECKPOINT_END too",
        "END": "the image has ended instead",
        "built": "the guest is there",
        "set up": "devices are there, and writes are logged",
        "said": "what was to be sent has gone",
        "resumed": "the guest runs",
        "NEW": "the primary wants another checkpoint",
        "suspended": "the guest stands",
        "taken up": "memory and state are those of the checkpoint",
        **_FAILURES,
        **_CLAIMED,
        **_TORN,
    },
    {
        "receive": "send the greeting; read up to the first CHECKPOINT_END",
        "build": "give the guest its state",
        "set_up": "enable log-dirty; set up devices",
        "say_ready": "send SVM_READY",
        "resume": "devices: preresume, but the first time; let the guest run",
        "say_resumed": "send SVM_RESUMED",
        "await_new": "devices: commit; read CHECKPOINT_STATE",
        "suspend": "stop the guest; devices: postsuspend",
        "say_suspended": "send SVM_SUSPENDED",
        "say_dirty": "send the frames that were written, and log anew",
        "queue": "read up to the next CHECKPOINT_END, and keep all of it",
        "take_up": "have the guest take over all that was kept: memory, state, device model",
        "fail_over": "drop what was kept; claim the guest; disable log-dirty; devices: release; let the guest run",
        "end_own": "devices: drop; end the guest",
        "report": "say how it ended, once",
    },
    (
        ("idle", "start", "receive", "receiving"),
        ("receiving", "checkpoint", "build", "building"),
        ("building", "built", "set_up", "preparing"),
        ("preparing", "set up", "say_ready", "offering"),
        ("offering", "said", "resume", "starting"),
        ("starting", "resumed", "say_resumed", "telling"),
        ("telling", "said", "await_new", "waiting"),
        ("waiting", "NEW", "suspend", "suspending"),
        ("suspending", "suspended", "say_suspended", "answering"),
        ("answering", "said", "say_dirty", "listing"),
        ("listing", "said", "queue", "queueing"),
        ("queueing", "checkpoint", "take_up", "taking up"),
        ("taking up", "taken up", "say_ready", "ready"),
        ("ready", "said", "resume", "starting"),
        *((state, "lost", "fail_over", "surviving") for state in _WHOLE),
        ("queueing", "END", "fail_over", "surviving"),
        ("surviving", OURS, "report", "survived"),
        ("surviving", "abort", NOTHING, "surviving"),
        ("destroying", "torn down", "report", "destroyed"),
        *(("destroying", event, NOTHING, "destroying") for event in (*_FAILURES, OTHER)),
        *(("idle", event, NOTHING, "idle") for event in _FAILURES),
    ),
    (*((event, "end_own", "destroying") for event in (*_FAILURES, THEIRS)), (OTHER, "end_own", "destroying")),
    {},
)

AUTOMATA = (PRIMARY, SECONDARY)

# The secondary's status in each state of its table.
STATUS = {
    **dict.fromkeys(("idle", "receiving", "building"), SETUPED),
    **dict.fromkeys(("preparing", "offering", "starting", "telling", "waiting", "suspending"), RESUMED),
    **dict.fromkeys(("answering", "listing", "queueing", "taking up", "ready"), SUSPENDED),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message: who sends it, what it is, and what each side does around it.

    `rounds` are "0", "n" for all later ones, or "all"; `to` is "secondary" (on the stream) or "primary" (on the back
    channel); `layer` says whose record it is.
    """

    rounds: str
    to: str
    layer: str
    name: str
    before: str = ""
    after: str = ""


SEQUENCE = (
    Message("0", "primary", "xl", "GREETING", after="read it"),
    Message("0", "secondary", "xl, libxl", "header, configuration, header, LIBXC_CONTEXT"),
    Message(
        "0", "secondary", "libxc", "headers, static data, PAGE_DATA ...", "guest runs, then stands", "put in place"
    ),
    Message("n", "secondary", "libxl", "CHECKPOINT_STATE NEW", "outputs differ", "suspend guest, postsuspend"),
    Message("n", "primary", "libxl", "CHECKPOINT_STATE SVM_SUSPENDED", "suspend guest, postsuspend", "read it"),
    Message("n", "primary", "libxc", "CHECKPOINT_DIRTY_PFN_LIST", "what it wrote", "add what was written here"),
    Message("n", "secondary", "libxc", "PAGE_DATA ...", "what either wrote", "keep"),
    Message("all", "secondary", "libxc", "X86_TSC_INFO, HVM_CONTEXT, HVM_PARAMS", after="keep"),
    Message("all", "secondary", "libxc", "CHECKPOINT"),
    Message("all", "secondary", "libxl", "EMULATOR_CONTEXT", after="keep"),
    Message("all", "secondary", "libxl", "CHECKPOINT_END", after="take all up; log writes, set up devices (0)"),
    Message("all", "primary", "libxl", "CHECKPOINT_STATE SVM_READY", after="preresume, run guest, let outputs go"),
    Message("all", "primary", "libxl", "CHECKPOINT_STATE SVM_RESUMED", "preresume (n), run guest", "commit, compare"),
)

# The clauses that a secondary's answers can keep, those that its lists can, and those that a primary's stream can.
OF_SECONDARY = ("LIBXL-BACK-TYPES", "LIBXL-CKPTSTATE-LEN", "LIBXL-CKPTSTATE-ID", "LIBXL-CKPTSTATE-CTX", "COLO-NEW-FWD")
OF_LISTS = ("COLO-DIRTY-POS", "COLO-DIRTY-LEN", "COLO-DIRTY-HDR")
OF_PRIMARY = (
    "COLO-HVM",
    "COLO-NEW-FWD",
    "LIBXL-CKPTSTATE-ID",
    "LIBXL-CKPTSTATE-LEN",
    "LIBXL-EMU-CTX",
    "CKPT-CKPT-REC",
    "CKPT-STATIC-ONCE",
)

# Outcomes of a decision.
SURVIVES, DESTROYED, GOES_ON, UNENDING = "survives", "destroyed", "goes on", "never ends"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a side's guest when something happens: `state` of its table, and the `event` that it is there.

    `xen` is what the C code makes of it, `ours` what this engine does, `why` says why that is another thing.  `key`
    names what happened for the tests, which make each happen.
    """

    key: str
    state: str
    event: str
    what: str
    xen: str
    ours: str
    why: str = ""


_ALIVE = "who talks is alive, and goes on itself: two guests would run"
_STRANDED = "the primary may be gone, and then no guest would be left"
_MIXED = "goes on with a mixed state"
_ENDLESS = "no wait is without an end"
SECONDARY_DECISIONS = (
    Decision("first-lost", "receiving", "lost", "the link fails in the first checkpoint", DESTROYED, DESTROYED),
    Decision("first-end", "receiving", "refused", "END in the first image", DESTROYED, DESTROYED),
    Decision(
        "first-tail",
        "receiving",
        "lost",
        "the link fails between the first CHECKPOINT and its CHECKPOINT_END",
        GOES_ON,
        DESTROYED,
        "no checkpoint was whole; the C code takes the failure for success",
    ),
    Decision("pv", "receiving", "refused", "the image is of a PV guest", DESTROYED, DESTROYED),
    Decision("first-frame", "receiving", "refused", "a frame that the guest does not have", DESTROYED, DESTROYED),
    Decision("build", "building", "failed", "the guest cannot be built", DESTROYED, DESTROYED),
    Decision("log", "preparing", "failed", "log-dirty cannot be enabled", DESTROYED, DESTROYED),
    Decision("setup", "preparing", "failed", "devices cannot be set up", DESTROYED, DESTROYED),
    Decision(
        "first-ready",
        "offering",
        "lost",
        "the first SVM_READY cannot be sent",
        "survives, paused",
        SURVIVES,
        "the guest is whole, and nobody else would let it run",
    ),
    Decision("unpause", "starting", "failed", "the guest cannot be let run", DESTROYED, DESTROYED),
    Decision("resumed", "telling", "lost", "SVM_RESUMED cannot be sent", SURVIVES, SURVIVES),
    Decision("commit", "waiting", "failed", "devices cannot commit", DESTROYED, DESTROYED),
    Decision("wait-lost", "waiting", "lost", "the link fails", SURVIVES, SURVIVES),
    Decision("wait-eof", "waiting", "lost", "the link has ended, at a record's boundary", UNENDING, SURVIVES, _ENDLESS),
    Decision("wait-late", "waiting", "lost", "nothing comes for too long", UNENDING, SURVIVES, _ENDLESS),
    Decision("wait-id", "waiting", "refused", "another id than NEW", DESTROYED, DESTROYED),
    Decision("wait-high", "waiting", "refused", "an id of 2^31 or more", SURVIVES, DESTROYED, _ALIVE),
    Decision(
        "wait-short", "waiting", "refused", "a CHECKPOINT_STATE of less than 4 bytes", SURVIVES, DESTROYED, _ALIVE
    ),
    Decision("wait-record", "waiting", "refused", "another record of libxl's", SURVIVES, DESTROYED, _ALIVE),
    Decision("wait-emulator", "waiting", "refused", "a record EMULATOR_CONTEXT", GOES_ON, DESTROYED, _ALIVE),
    Decision("suspend", "suspending", "failed", "the guest cannot be suspended", DESTROYED, DESTROYED),
    Decision("postsuspend", "suspending", "failed", "devices: postsuspend fails", DESTROYED, DESTROYED),
    Decision("suspended", "answering", "lost", "SVM_SUSPENDED cannot be sent", SURVIVES, SURVIVES),
    Decision("dirty", "listing", "lost", "the list cannot be sent", DESTROYED, SURVIVES, _STRANDED),
    Decision("queue-lost", "queueing", "lost", "the link fails in a checkpoint", SURVIVES, SURVIVES),
    Decision("queue-eof", "queueing", "lost", "the link has ended, at a record's boundary", SURVIVES, SURVIVES),
    Decision("queue-end", "queueing", "END", "END instead of CHECKPOINT", SURVIVES, SURVIVES),
    Decision(
        "queue-tail",
        "queueing",
        "lost",
        "the link fails between CHECKPOINT and CHECKPOINT_END",
        _MIXED,
        SURVIVES,
        "what was kept is dropped; the C code takes the failure for success",
    ),
    Decision("queue-record", "queueing", "refused", "a record of libxc's that is not known", DESTROYED, DESTROYED),
    Decision("queue-long", "queueing", "refused", "a record that is longer than taken", SURVIVES, DESTROYED, _ALIVE),
    Decision("queue-order", "queueing", "refused", "a record that a tail cannot have", _MIXED, DESTROYED, _ALIVE),
    Decision("queue-frame", "taking up", "refused", "a frame that the guest does not have", DESTROYED, DESTROYED),
    Decision("load", "taking up", "failed", "the guest does not take the state", DESTROYED, DESTROYED),
    Decision(
        "ready",
        "ready",
        "lost",
        "SVM_READY cannot be sent, memory is replaced",
        "survives with old device state",
        SURVIVES,
        "memory, state and device model are taken up together, before it",
    ),
    Decision("preresume", "starting", "failed", "devices: preresume fails", DESTROYED, DESTROYED),
    Decision("resume", "starting", "failed", "the guest cannot be resumed", DESTROYED, DESTROYED),
)

PRIMARY_DECISIONS = (
    Decision("pv", "idle", "failed", "the guest is a PV guest", GOES_ON, GOES_ON),
    Decision("no-greeting", "greeting", "lost", "no greeting comes", GOES_ON, GOES_ON),
    Decision("memory", "copying", "lost", "memory cannot be sent", GOES_ON, GOES_ON),
    Decision("state", "capturing", "failed", "the guest does not give its state", GOES_ON, GOES_ON),
    Decision("tail", "closing", "lost", "the first checkpoint cannot be sent", GOES_ON, GOES_ON),
    Decision("ready-lost", "closing", "lost", "the link fails where SVM_READY should come", GOES_ON, GOES_ON),
    Decision("ready-eof", "closing", "lost", "the back channel has ended", UNENDING, GOES_ON, _ENDLESS),
    Decision("ready-late", "closing", "lost", "nothing comes for too long", UNENDING, GOES_ON, _ENDLESS),
    Decision("ready-id", "closing", "refused", "another id than SVM_READY", GOES_ON, GOES_ON),
    Decision("ready-short", "closing", "refused", "a CHECKPOINT_STATE of less than 4 bytes", GOES_ON, GOES_ON),
    Decision("preresume", "resuming", "failed", "devices: preresume fails", GOES_ON, GOES_ON),
    Decision("resumed-id", "resuming", "refused", "another id than SVM_RESUMED", GOES_ON, GOES_ON),
    Decision("commit", "running", "failed", "devices cannot commit", GOES_ON, GOES_ON),
    Decision("proxy", "running", "failed", "the comparison fails", GOES_ON, GOES_ON),
    Decision("run-eof", "running", "lost", "the back channel ends while both run", UNENDING, GOES_ON, _ENDLESS),
    Decision("run-word", "running", "refused", "a message that nobody has asked for", GOES_ON, GOES_ON),
    Decision("announce", "suspending", "lost", "NEW cannot be sent", GOES_ON, GOES_ON),
    Decision("postsuspend", "suspending", "failed", "devices: postsuspend fails", GOES_ON, GOES_ON),
    Decision("suspended-id", "suspending", "refused", "another id than SVM_SUSPENDED", GOES_ON, GOES_ON),
    Decision("list-type", "merging", "refused", "another record than the list", GOES_ON, GOES_ON),
    Decision("list-length", "merging", "refused", "a list whose length is no multiple of 8", GOES_ON, GOES_ON),
    Decision("list-long", "merging", "refused", "a list that is longer than a record may be", GOES_ON, GOES_ON),
    Decision("list-frame", "merging", "refused", "a frame that the guest does not have", GOES_ON, GOES_ON),
    Decision("list-cut", "merging", "lost", "the list breaks off", GOES_ON, GOES_ON),
    Decision("pages", "closing", "lost", "a checkpoint's pages cannot be sent", GOES_ON, GOES_ON),
)
