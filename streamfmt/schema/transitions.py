"""State machines of the programs that write and read streams: what each does when something happens, as data.

The machines of :mod:`.protocol` say which record may come next; these say what a saver, a restorer and the two sides of
`xl migrate` do about it, so that the engine runs on them and the documentation is drawn from them.  A machine has an
answer to everything in every state: an event for which a state has no row is answered as in `always`, if that has it,
else by the row of `OTHER`.

Sources: tools/libs/light/libxl_stream_write.c, libxl_stream_read.c (the state table in its first comment),
libxl_save_callout.c; tools/xl/xl_migrate.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Any other event.
OTHER = "*"
# What a state does about an event that is not its concern.
NOTHING = ""
# Who may run the guest: the side that has it, or neither as long as nobody knows.
SOURCE, DESTINATION, UNKNOWN = "source", "destination", "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Automaton:
    """One program: `moves` are (state, event, action, next state).

    `states` says what each state is, in the order in which they are drawn; `events` what has happened; `actions` what
    is done about it.  In each of `ends` all is over, and nothing changes that.  `always` are (event, action, next
    state) for all states but the ends.  `owners` says who may run the guest, where that is what the machine is about.
    """

    name: str
    doc: str
    source: str
    start: str
    ends: tuple[str, ...]
    states: Mapping[str, str]
    events: Mapping[str, str]
    actions: Mapping[str, str]
    moves: tuple[tuple[str, str, str, str], ...]
    always: tuple[tuple[str, str, str], ...]
    owners: Mapping[str, str]

    def step(self, state: str, event: str) -> tuple[str, str]:
        """What is done when `event` happens in `state`, and the state after that."""
        if state in self.ends:
            return NOTHING, state
        rows = {row[1]: row[2:] for row in self.moves if row[0] == state}
        general = {row[0]: row[1:] for row in self.always}
        for found in (rows.get(event), general.get(event), rows.get(OTHER), general[OTHER]):
            if found is not None:
                action, after = found
                return action, after
        raise AssertionError(state)


_RECORDS = {
    "END": "record END",
    "LIBXC_CONTEXT": "record LIBXC_CONTEXT",
    "EMULATOR_XENSTORE_DATA": "record EMULATOR_XENSTORE_DATA",
    "EMULATOR_CONTEXT": "record EMULATOR_CONTEXT",
    "CHECKPOINT_END": "record CHECKPOINT_END",
    "CHECKPOINT_STATE": "record CHECKPOINT_STATE",
    "optional": "a record of unknown type that a reader may pass over",
}
_FAILED = {
    "failed": "what was being done has failed, or must not happen",
    "abort": "the caller wants the end",
    "torn down": "nothing is left of what was begun",
}
_STOPPING = ("stopping", "torn down", "report", "done")
_TEAR_DOWN = {
    "tear_down": "end what was begun: image, converter, files; keep the first error",
    "report": "say how it ended, once",
    "refuse": "it must not happen here: fail",
}
_ALWAYS = (
    ("failed", "tear_down", "stopping"),
    ("abort", "tear_down", "stopping"),
    (OTHER, "refuse", "stopping"),
)
_IDLE = (("idle", "abort", NOTHING, "idle"), ("idle", "failed", NOTHING, "idle"))
# The first error is kept, and nothing that happens while all is ended changes it.
_LEFT_ALONE = (("stopping", "failed", NOTHING, "stopping"), ("stopping", "abort", NOTHING, "stopping"))
_LAST = (_STOPPING, *_LEFT_ALONE, ("stopping", OTHER, NOTHING, "stopping"))
_LAST_STATES = {"stopping": "ending what was begun", "done": "the end was reported"}

READER = Automaton(
    "restorer",
    "How libxl reads a stream: records are queued and taken up one after another; those of a checkpoint wait in the "
    "queue until it is whole, so that until then the last one can be returned to.",
    "tools/libs/light/libxl_stream_read.c",
    "idle",
    ("done",),
    {
        "idle": "nothing has begun",
        "beginning": "the stream's header comes",
        "normal": "records are taken up as they come",
        "image": "libxc's records come",
        "buffering": "a checkpoint's records are queued",
        "unbuffering": "they are taken up in turn",
        "awaiting": "a COLO message comes",
        **_LAST_STATES,
    },
    {
        "start": "the caller wants a stream read",
        "start legacy": "likewise, of the format before libxl's",
        "start back channel": "likewise, of a COLO secondary: no header",
        "converted": "the converter runs",
        "header": "the header has come",
        **_RECORDS,
        "applied": "a record was taken up",
        "checkpoint": "the image has a checkpoint",
        "message": "the image waits for a COLO message",
        "image ended": "the image is complete",
        "failed over": "the last checkpoint is what is left",
        "served": "the message was handed on",
        **_FAILED,
    },
    {
        "read_header": "read the header",
        "convert": "convert what comes, and read that",
        "read_record": "read a record and queue it",
        "restore_image": "give libxc the stream",
        "apply_keys": "take the first record of the queue: keys of the emulator",
        "apply_emulator": "take the first record of the queue: the emulator's state, into its file",
        "pass_over": "take the first record of the queue, and do nothing",
        "next_queued": "look at the first record of the queue",
        "checkpoint_done": "the checkpoint is the guest's state from now on; give libxc the stream again",
        "go_on": "give libxc the stream again",
        "fail_over": "libxc goes back to the last checkpoint, if there is one",
        "checkpoint_lost": "libxc fails: the last checkpoint is gone",
        "serve": "hand the message on",
        **_TEAR_DOWN,
    },
    (
        *_IDLE,
        ("idle", "start", "read_header", "beginning"),
        ("idle", "start legacy", "convert", "beginning"),
        ("idle", "start back channel", NOTHING, "image"),
        ("beginning", "converted", "read_header", "beginning"),
        ("beginning", "header", "read_record", "normal"),
        ("normal", "LIBXC_CONTEXT", "restore_image", "image"),
        ("normal", "EMULATOR_XENSTORE_DATA", "apply_keys", "normal"),
        ("normal", "EMULATOR_CONTEXT", "apply_emulator", "normal"),
        ("normal", "optional", "pass_over", "normal"),
        ("normal", "applied", "read_record", "normal"),
        ("normal", "END", "tear_down", "stopping"),
        ("image", "image ended", "read_record", "normal"),
        ("image", "failed over", "tear_down", "stopping"),
        ("image", "checkpoint", "read_record", "buffering"),
        ("image", "message", "read_record", "awaiting"),
        ("buffering", "EMULATOR_XENSTORE_DATA", "read_record", "buffering"),
        ("buffering", "EMULATOR_CONTEXT", "read_record", "buffering"),
        ("buffering", "optional", "read_record", "buffering"),
        ("buffering", "CHECKPOINT_END", "next_queued", "unbuffering"),
        ("buffering", "failed", "fail_over", "image"),
        ("buffering", OTHER, "fail_over", "image"),
        ("unbuffering", "EMULATOR_XENSTORE_DATA", "apply_keys", "unbuffering"),
        ("unbuffering", "EMULATOR_CONTEXT", "apply_emulator", "unbuffering"),
        ("unbuffering", "optional", "pass_over", "unbuffering"),
        ("unbuffering", "applied", "next_queued", "unbuffering"),
        ("unbuffering", "CHECKPOINT_END", "checkpoint_done", "image"),
        ("unbuffering", "failed", "checkpoint_lost", "image"),
        ("unbuffering", OTHER, "checkpoint_lost", "image"),
        ("awaiting", "CHECKPOINT_STATE", "serve", "awaiting"),
        ("awaiting", "served", "go_on", "image"),
        *_LAST,
    ),
    _ALWAYS,
    {},
)

WRITER = Automaton(
    "saver",
    "How libxl writes a stream: one record after another, each written before the next is thought of; after the "
    "image, and at each of its checkpoints, the device model's.",
    "tools/libs/light/libxl_stream_write.c",
    "idle",
    ("done",),
    {
        "idle": "nothing has begun",
        "beginning": "the header goes",
        "handing over": "LIBXC_CONTEXT goes",
        "image": "libxc's records go",
        "keys": "the emulator's keys go",
        "emulator": "the emulator's state goes",
        "ending": "END goes",
        "checkpoint keys": "the emulator's keys go",
        "checkpoint emulator": "the emulator's state goes",
        "checkpoint ending": "CHECKPOINT_END goes",
        "message": "a COLO message goes",
        **_LAST_STATES,
    },
    {
        "start": "the caller wants a stream written",
        "start back channel": "likewise, of a COLO secondary: no header",
        "written": "what was to be written has gone",
        "checkpoint": "the image has a checkpoint",
        "message": "the image has a COLO message",
        "image ended": "the image is complete",
        "checkpoints ended": "there will be no more checkpoints",
        **_FAILED,
    },
    {
        "write_header": "write the header",
        "write_context": "write LIBXC_CONTEXT",
        "save_image": "let libxc write",
        "write_keys": "write the emulator's keys, if it has some",
        "write_emulator": "write the emulator's state, of an HVM guest",
        "write_end": "write END",
        "write_checkpoint_end": "write CHECKPOINT_END",
        "write_message": "write CHECKPOINT_STATE",
        "checkpoint_done": "let libxc write again",
        "checkpoint_lost": "libxc fails",
        **_TEAR_DOWN,
    },
    (
        *_IDLE,
        ("idle", "start", "write_header", "beginning"),
        ("idle", "start back channel", NOTHING, "image"),
        ("beginning", "written", "write_context", "handing over"),
        ("handing over", "written", "save_image", "image"),
        ("image", "image ended", "write_keys", "keys"),
        ("image", "checkpoints ended", "tear_down", "stopping"),
        ("image", "checkpoint", "write_keys", "checkpoint keys"),
        ("image", "message", "write_message", "message"),
        ("keys", "written", "write_emulator", "emulator"),
        ("emulator", "written", "write_end", "ending"),
        ("ending", "written", "tear_down", "stopping"),
        ("checkpoint keys", "written", "write_emulator", "checkpoint emulator"),
        ("checkpoint keys", "failed", "checkpoint_lost", "image"),
        ("checkpoint emulator", "written", "write_checkpoint_end", "checkpoint ending"),
        ("checkpoint emulator", "failed", "checkpoint_lost", "image"),
        ("checkpoint ending", "written", "checkpoint_done", "image"),
        ("checkpoint ending", "failed", "checkpoint_lost", "image"),
        ("message", "written", "checkpoint_done", "image"),
        ("message", "failed", "checkpoint_lost", "image"),
        *_LAST,
    ),
    _ALWAYS,
    {},
)

SENDER = Automaton(
    "sender",
    "The source's side of `xl migrate`.  Up to GO the guest is its own, and any failure lets it go on there; after GO "
    "only what the other side says decides, and without that nobody may run it unasked.",
    "tools/xl/xl_migrate.c, migrate_domain",
    "idle",
    ("moved", "kept", "in doubt"),
    {
        "idle": "nothing has begun",
        "greeting": "waits for the other side's greeting",
        "sending": "the stream goes",
        "offered": "waits for READY",
        "cleared": "GO has gone; waits for REPORT",
        "reported": "waits for STATUS",
        "refused": "waits for GIVE_BACK",
        "moved": "the guest runs over there",
        "kept": "the guest goes on here, as it did before",
        "in doubt": "the guest stays paused here, and may run there: for people to decide",
    },
    {
        "start": "the caller wants the guest moved",
        "GREETING": "the other side is there",
        "sent": "the stream has gone, its END too",
        "READY": "the other side has all of it",
        "REPORT": "the other side has begun to answer",
        "started": "STATUS is 0",
        "not started": "STATUS is another",
        "GIVE_BACK": "the copy over there is gone",
        "failed": "the link failed, something else came, or it took too long",
        "abort": "the caller wants the end",
    },
    {
        "await_greeting": "wait for the greeting",
        "send_stream": "send the configuration and the stream; the guest is paused at its end",
        "await_ready": "wait for READY",
        "give": "send GO, wait for REPORT",
        "await_status": "wait for STATUS",
        "await_return": "wait for GIVE_BACK",
        "end_own": "end the copy here",
        "keep": "let the guest go on here, if it ran before",
        "leave": "leave the guest paused, and say so",
    },
    (
        ("idle", "start", "await_greeting", "greeting"),
        ("greeting", "GREETING", "send_stream", "sending"),
        ("sending", "sent", "await_ready", "offered"),
        ("offered", "READY", "give", "cleared"),
        ("cleared", "REPORT", "await_status", "reported"),
        ("reported", "started", "end_own", "moved"),
        ("reported", "not started", "await_return", "refused"),
        ("refused", "GIVE_BACK", "keep", "kept"),
        *((state, OTHER, "leave", "in doubt") for state in ("cleared", "reported", "refused")),
        *((state, "failed", "leave", "in doubt") for state in ("cleared", "reported", "refused")),
        *((state, "abort", NOTHING, state) for state in ("cleared", "reported", "refused")),
    ),
    (("failed", "keep", "kept"), ("abort", "keep", "kept"), (OTHER, "keep", "kept")),
    {
        **dict.fromkeys(("idle", "greeting", "sending", "offered", "kept"), SOURCE),
        **dict.fromkeys(("cleared", "reported", "refused", "moved"), DESTINATION),
        "in doubt": UNKNOWN,
    },
)

RECEIVER = Automaton(
    "receiver",
    "The destination's side.  Its copy does not run before GO has come, and is ended if that does not; once it runs, "
    "it is the guest, whatever becomes of the link.",
    "tools/xl/xl_migrate.c, migrate_receive",
    "idle",
    ("running", "ended", "returned"),
    {
        "idle": "nothing has begun",
        "receiving": "the stream comes",
        "complete": "waits for GO",
        "starting": "the guest is being started",
        "telling": "REPORT and STATUS go",
        "declining": "REPORT, STATUS and GIVE_BACK go",
        "running": "the guest runs here",
        "ended": "there is no copy here",
        "returned": "there is no copy here, and the other side has been given the guest back",
    },
    {
        "start": "the caller wants to receive a guest",
        "received": "the stream has come, its END too",
        "GO": "the other side's copy will not run again",
        "started": "the guest runs",
        "reported": "what was to be sent has gone",
        "failed": "the link failed, something else came, it took too long, or the guest cannot be had here",
        "abort": "the caller wants the end",
    },
    {
        "receive": "send the greeting; make the guest and fill it",
        "offer": "send READY, wait for GO",
        "start_guest": "let the guest run",
        "tell": "send REPORT and STATUS 0",
        "decline": "end the copy, then send REPORT, STATUS and GIVE_BACK",
        "end_own": "end the copy",
        "finish": "say that the guest runs",
    },
    (
        ("idle", "start", "receive", "receiving"),
        ("receiving", "received", "offer", "complete"),
        ("complete", "GO", "start_guest", "starting"),
        ("starting", "started", "tell", "telling"),
        ("starting", "failed", "decline", "declining"),
        ("starting", "abort", NOTHING, "starting"),
        ("starting", OTHER, "decline", "declining"),
        ("telling", "reported", "finish", "running"),
        ("telling", "failed", "finish", "running"),
        ("telling", "abort", NOTHING, "telling"),
        ("telling", OTHER, "finish", "running"),
        ("declining", "reported", NOTHING, "returned"),
        ("declining", "abort", NOTHING, "declining"),
    ),
    (("failed", "end_own", "ended"), ("abort", "end_own", "ended"), (OTHER, "end_own", "ended")),
    {
        **dict.fromkeys(("idle", "receiving", "complete", "ended", "returned"), SOURCE),
        **dict.fromkeys(("starting", "telling", "declining", "running"), DESTINATION),
    },
)

AUTOMATA = (WRITER, READER, SENDER, RECEIVER)


def faults(machine: Automaton) -> list[str]:
    """What is wrong with a machine, in words."""
    found = []
    states, events, actions = machine.states, machine.events, machine.actions
    rows = (*machine.moves, *((machine.start, *row) for row in machine.always))
    for state, event, action, after in rows:
        found += [f"state {name!r} is not explained" for name in (state, after) if name not in states]
        found += [f"event {event!r} is not explained"] if event not in (*events, OTHER) else []
        found += [f"action {action!r} is not explained"] if action not in (*actions, NOTHING) else []
    pairs = [row[:2] for row in machine.moves]
    found += [f"{state!r} has two rows for {event!r}" for state, event in {*pairs} if pairs.count((state, event)) > 1]
    found += [f"{state!r} is an end and has a row" for state, _ in pairs if state in machine.ends]
    used = {action for _, _, action, _ in rows}
    found += [f"action {action!r} is never done" for action in actions if action not in used]
    happens = {event for _, event, _, _ in rows}
    found += [f"event {event!r} never matters" for event in events if event not in happens]
    reached, left = {machine.start}, [machine.start]
    while left:
        state = left.pop()
        new = {machine.step(state, event)[1] for event in events} - reached
        reached |= new
        left += new
    found += [f"state {state!r} is never reached" for state in states if state not in reached]
    owned = machine.owners or dict.fromkeys(states, "")
    return found + [f"state {state!r} has no owner" for state in states if state not in owned]
