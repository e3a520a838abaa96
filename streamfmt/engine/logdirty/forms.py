"""The forms in which a saver and a device model agree about dirty frames, by release of Xen.

Until 3.4 the emulator sets bits in a System V segment; since 4.0 it calls the hypervisor (HVMOP_modified_memory), and
is only asked to begin and to end.  The facts are those of Xen's xc_save.c, libxl_dom.c and libxl_qmp.c, and of QEMU's
xenstore.c and xen-hvm.c.
"""

from __future__ import annotations

from dataclasses import dataclass

SHARED, COMMAND, MONITOR = "a segment", "commands in xenstore", "a monitor"


@dataclass(frozen=True, slots=True)
class Form:
    """One form: `way` is what is talked through, `area` the folder in xenstore, with {domain} or {path} in it.

    `limit` has the seconds in which each event must come, 0 if the emulator's answer is not waited for; `whole` the
    seconds for a whole answer, however many events come.  `atomic`: a command is given in a transaction, refused
    while another one stands, and removed with its answer.  `removed`: what that release's saver removes at the end;
    ours removes all of it, always.
    """

    name: str
    releases: str
    way: str
    area: str = ""
    limit: float = 5.0
    whole: float = 10.0
    atomic: bool = False
    removed: str = ""


_DOMAIN, _MODEL = "{path}/logdirty", "/local/domain/0/device-model/{domain}/logdirty"
FORMS = {
    form.name: form
    for form in (
        Form("3.1", "3.1", SHARED, _DOMAIN),
        Form("3.2", "3.2 to 3.4", SHARED, _MODEL, removed="the segment"),
        Form("4.0", "4.0, saved by xend", COMMAND, _MODEL),
        Form("4.1", "4.0 and 4.1, saved by xl", COMMAND, _MODEL, limit=0.0),
        Form(
            "4.2", "4.2 and later, qemu-traditional", COMMAND, _MODEL, 10.0, atomic=True, removed="command and answer"
        ),
        Form("4.3", "4.3 and later, QEMU itself", MONITOR, limit=10.0),
    )
}
# The command of the monitor, and those in xenstore, with which the emulator begins and ends.
QMP_COMMAND = "xen-set-global-dirty-log"
COMMANDS = {True: b"enable", False: b"disable"}
# Watches' tokens, as the programs of those releases had them.
ACTIVE_TOKEN, NEXT_TOKEN, ANSWER_TOKEN, COMMAND_TOKEN = "qemu-active-buffer", "logdirty", "logdirty-ret", "logdirty-cmd"
# Nodes in the area.
KEY, ACTIVE, NEXT, CMD, RET = "key", "active", "next-active", "cmd", "ret"


def segment_size(pages: int) -> int:
    """Bytes of one of a segment's two bitmaps: whole words of 64 frames, as xc_save and the emulator count."""
    return (pages + 63) // 64 * 8
