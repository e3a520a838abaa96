"""Remus as data: what its two sides do when something happens, and what the standby is left with.

Sources: tools/libs/light/libxl_remus.c, libxl_stream_read.c, libxl_stream_write.c; tools/libs/guest/xg_sr_save.c and
xg_sr_restore.c (handle_checkpoint); tools/xl/xl_migrate.c (main_remus, migrate_receive).
"""

from __future__ import annotations

from dataclasses import dataclass

from .transitions import DESTINATION, NOTHING, OTHER, SOURCE, UNKNOWN, Automaton

# What may happen to a standby while it takes a stream: the link fails, ends, is silent, or claims a length that nothing
# has; END comes; what comes cannot be; its own caller wants the end.
LOST, WITHDRAWN, BROKEN, CANCELLED = "lost", "END", "broken", "cancelled"
# What comes of it.
TAKES_OVER, ENDS = "takes over", "ends"
# Where it is, and what that means.
PLACES = {
    "initial": "before the first CHECKPOINT: what comes is put into place at once",
    "first tail": "after it, before its CHECKPOINT_END",
    "first applying": "the first checkpoint is taken up",
    "records": "a later checkpoint's image records wait",
    "tail": "so do libxl's, until CHECKPOINT_END",
    "applying": "a later checkpoint is taken up",
}
EVENTS = {
    LOST: "the link fails, ends, is silent for too long, or a record claims a length that is not taken",
    WITHDRAWN: "the image's END comes",
    BROKEN: "a record comes that cannot come there, or breaks a rule",
    CANCELLED: "the caller wants the end",
}
# A later checkpoint's tail has no END that could come: it is a record that cannot come there.
OUTCOMES = {
    **{(place, event): ENDS for place in PLACES for event in EVENTS},
    ("records", LOST): TAKES_OVER,
    ("records", WITHDRAWN): TAKES_OVER,
    ("tail", LOST): TAKES_OVER,
    ("tail", BROKEN): TAKES_OVER,
    ("tail", WITHDRAWN): TAKES_OVER,
}

# An optional record of ours in libxl's tail: a mark, since others may use the type too, then writes to a disk, each
# after its place and length (readers pass over optional types: docs/specs/libxl-migration-stream.pandoc).
DISK_TYPE, DISK_MAGIC = 0x80005344, b"sfdisk\0\0"

# Clauses that a primary's stream keeps or breaks, once it has several checkpoints; other clauses are as in any stream.
OF_PRIMARY = ("CKPT-CKPT-REC", "CKPT-STATIC-ONCE", "CKPT-CUT")

_OVER = ("failed", "abort")

REMUS_PRIMARY = Automaton(
    "Remus primary",
    "The side whose guest runs, and is stopped again and again for what it has written to be copied.  Its output waits "
    "until the standby has the state that it comes from.",
    "tools/libs/light/libxl_remus.c; tools/libs/guest/xg_sr_save.c, save",
    "idle",
    ("unprotected", "taken over"),
    {
        "idle": "nothing has begun",
        "greeting": "waits for the other side's greeting",
        "copying": "all memory goes while the guest runs; it stands at the end of that",
        "suspended": "the guest stands, its state is copied",
        "resuming": "the guest goes on",
        "sending": "the checkpoint goes while the guest runs; its output is held",
        "committing": "the standby has the checkpoint: output before it may leave",
        "waiting": "the guest runs until the next checkpoint is due",
        "suspending": "the guest is being stopped",
        "claiming": "the standby, or the link to it, has failed: asks who may go on",
        "unprotected": "the guest goes on here, alone",
        "taken over": "the guest goes on over there: the copy here stands, and what it put out is dropped",
    },
    {
        "start": "the caller wants a guest protected",
        "GREETING": "the other side is there",
        "copied": "all memory has gone, and the guest stands",
        "captured": "the checkpoint is copied",
        "resumed": "the guest runs",
        "complete": "the checkpoint has gone, and was acknowledged where that is asked for",
        "committed": "output has left",
        "due": "the interval is over",
        "suspended": "the guest stands",
        "won": "this side may go on",
        "lost": "the other side has the guest, or nobody can say who has",
        "failed": "the link failed, something else came, it took too long, or a device failed",
        "abort": "the caller wants the end",
    },
    {
        "await_greeting": "wait for the greeting",
        "copy": "send the configuration, the stream's beginning, and all memory",
        "capture": "close the epoch of each device; copy what was written, and the state",
        "resume": "let the devices, then the guest go on",
        "send": "send the checkpoint and libxl's tail; wait for the acknowledgement",
        "commit": "let the output of closed epochs leave",
        "wait": "wait for the interval, and for the other side to fail",
        "suspend": "stop the guest",
        "claim": "ask the witness",
        "go_on": "let all output leave and the guest run on, if it ran before",
        "yield_guest": "stop the guest, and drop its output",
    },
    (
        ("idle", "start", "await_greeting", "greeting"),
        ("greeting", "GREETING", "copy", "copying"),
        ("copying", "copied", "capture", "suspended"),
        ("suspended", "captured", "resume", "resuming"),
        ("resuming", "resumed", "send", "sending"),
        ("sending", "complete", "commit", "committing"),
        ("committing", "committed", "wait", "waiting"),
        ("waiting", "due", "suspend", "suspending"),
        ("suspending", "suspended", "capture", "suspended"),
        # Before a checkpoint can be there whole, nobody can take over.
        *((state, event, "go_on", "unprotected") for state in ("idle", "greeting", "copying") for event in _OVER),
        *((state, OTHER, "go_on", "unprotected") for state in ("idle", "greeting", "copying")),
        ("claiming", "won", "go_on", "unprotected"),
        ("claiming", "lost", "yield_guest", "taken over"),
        *(("claiming", event, "yield_guest", "taken over") for event in (*_OVER, OTHER)),
    ),
    (("failed", "claim", "claiming"), ("abort", "claim", "claiming"), (OTHER, "claim", "claiming")),
    {
        **dict.fromkeys(("idle", "greeting", "copying", "suspended", "resuming", "sending"), SOURCE),
        **dict.fromkeys(("committing", "waiting", "suspending", "unprotected"), SOURCE),
        "claiming": UNKNOWN,
        "taken over": DESTINATION,
    },
)

REMUS_STANDBY = Automaton(
    "Remus standby",
    "The side that has the last whole checkpoint, and lets the guest run from there when the primary has gone.",
    "tools/libs/guest/xg_sr_restore.c, handle_checkpoint; tools/xl/xl_migrate.c, migrate_receive",
    "idle",
    ("running", "ended"),
    {
        "idle": "nothing has begun",
        "receiving": "the stream comes, up to the end of its first checkpoint",
        "standing by": "a whole checkpoint is here; the next one comes, and waits until it is whole",
        "claiming": "the primary, or the link to it, has failed: asks who may go on",
        "starting": "the guest of the last checkpoint is being started",
        "running": "the guest runs here",
        "ended": "there is no guest here",
    },
    {
        "start": "the caller wants to stand by",
        "checkpoint": "a checkpoint is whole, and was taken up",
        "failed over": "what failed leaves the last checkpoint, by the table of outcomes",
        "won": "this side may go on",
        "lost": "the other side has the guest, or nobody can say who has",
        "started": "the guest runs",
        "failed": "what failed leaves nothing, or the guest cannot be had here",
        "abort": "the caller wants the end",
    },
    {
        "receive": "send the greeting; make the guest and fill it, up to the first checkpoint",
        "stand_by": "acknowledge the checkpoint; take the next one",
        "claim": "ask the witness",
        "start_guest": "take over the last checkpoint's state, and let the guest run",
        "finish": "say that the guest runs",
        "end_own": "end the copy, and say why if somebody listens",
    },
    (
        ("idle", "start", "receive", "receiving"),
        ("receiving", "checkpoint", "stand_by", "standing by"),
        ("standing by", "checkpoint", "stand_by", "standing by"),
        ("standing by", "failed over", "claim", "claiming"),
        ("claiming", "won", "start_guest", "starting"),
        ("claiming", "lost", "end_own", "ended"),
        # Whoever has claimed it has it: to be asked to end now would leave no guest at all.
        ("starting", "started", "finish", "running"),
        ("starting", "abort", NOTHING, "starting"),
    ),
    (("failed", "end_own", "ended"), ("abort", "end_own", "ended"), (OTHER, "end_own", "ended")),
    {
        **dict.fromkeys(("idle", "receiving", "standing by", "ended"), SOURCE),
        "claiming": UNKNOWN,
        **dict.fromkeys(("starting", "running"), DESTINATION),
    },
)

CHECKPOINTING = (REMUS_PRIMARY, REMUS_STANDBY)


@dataclass(frozen=True, slots=True)
class Message:
    """A row of a message sequence: what passes, which way, and what both sides do about it."""

    name: str
    to_standby: bool
    here: str  # what the primary does before, or by, sending or taking it
    there: str


# What passes, in order; the rows from `REMUS_REPEATS` on come again at each checkpoint.
REMUS_SEQUENCE = (
    Message("GREETING", False, "waits for it", "is ready"),
    Message("xl header, configuration", True, "runs", "makes the guest"),
    Message("libxl header, LIBXC_CONTEXT", True, "runs", ""),
    Message("image headers, static data", True, "runs", ""),
    Message("PAGE_DATA ...", True, "runs; stops at the end", "puts it into place"),
    Message("state, CHECKPOINT", True, "postsuspend; copy", "keeps it"),
    Message("device model, CHECKPOINT_END", True, "preresume; runs again", "takes all of it up"),
    Message("acknowledgement", False, "commit: output leaves", "has a checkpoint"),
    Message("PAGE_DATA ...", True, "interval; stops; postsuspend", "keeps it"),
    Message("state, CHECKPOINT", True, "copy; preresume; runs again", "keeps it"),
    Message("device model, CHECKPOINT_END", True, "", "takes all of it up"),
    Message("acknowledgement", False, "commit: output leaves", "has a newer checkpoint"),
)
REMUS_REPEATS = 8
