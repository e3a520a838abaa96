"""What came of salvaging a file, as people and programs read it."""

from __future__ import annotations

from ..checks.messages import count
from .describe import wrapped
from .salvage_frames import DOUBTFUL, OLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..checks.outcome import Outcome
    from .salvage_state import Gap, Salvaged

FORMAT = "streamfmt-salvage-1"
# Ranges of frames, gaps and findings that are shown, and that programs get.
_SHOWN, _LISTED = 6, 1000
_MARGIN = " " * 12
# What a guest would feel without a record, by its path: only those of its kind are asked for.
_FELT = {
    "libxc.PAGE_DATA": ("", "its memory: not one page came whole"),
    "libxc.X86_PV_INFO": ("pv", "the guest's width: nothing of it can be restored"),
    "libxc.X86_PV_P2M_FRAMES": ("pv", "where its table of frames is: it cannot be restored"),
    "libxc.SHARED_INFO": ("pv", "clock, vcpus and event channels that it shares with Xen: it cannot run on"),
    "libxc.X86_PV_VCPU_BASIC": ("pv", "the registers of its vcpus: it cannot run on"),
    "libxc.X86_TSC_INFO": ("", "how its clock was set: time may jump"),
    "libxc.HVM_PARAMS": ("hvm", "where its console, store and I/O pages are: its drivers do not connect"),
    "libxc.HVM_CONTEXT": ("hvm", "registers, timers and interrupt controllers: it cannot run on"),
    "libxc.X86_CPUID_POLICY": ("", "the CPU that it was started on: it gets the receiver's, as from older Xen"),
    "libxc.X86_MSR_POLICY": ("", "the MSRs that it was promised: it gets the receiver's, as from older Xen"),
    "libxl.EMULATOR_XENSTORE_DATA": ("hvm", "the device model's xenstore keys"),
    "libxl.EMULATOR_CONTEXT": ("hvm", "its device model's state: emulated disks, network and display stop"),
}


class Report:
    """What was salvaged, judged as `outcome`.  `written` are the bytes of the output, 0 if there is none."""

    def __init__(self, salvage: Salvaged, outcome: Outcome) -> None:
        self.salvage = salvage
        self.outcome = outcome
        self.written = 0
        self.size = sum(
            len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in salvage.pieces.rows
        )

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, and nothing had to be made anew."""
        found = self.salvage
        return self.outcome.conforms and not (found.gaps or found.made or found.left_out)

    @property
    def status(self) -> int:
        """Exit status: 1 if something is missing."""
        return int(not self.whole)

    def missing(self) -> list[tuple[str, str]]:
        """Paths of records that are not there, and what a guest would feel."""
        found = self.salvage
        if self.whole or found.image is None or found.checkpoint >= 0:
            return []
        layers = {layer.name for layer in found.layers if not found.bare or layer.row.form}
        guest = found.guest_seen()
        static = found.image.version >= _STATIC
        return [
            (path, felt)
            for path, (kind, felt) in _FELT.items()
            if path not in found.state.seen
            and kind in ("", guest)
            and path.partition(".")[0] in layers
            and (static or not path.endswith("_POLICY"))
        ]

    # -- for people -------------------------------------------------------------------------------------------------

    def text(self, source: str, target: str, quiet: bool = False) -> str:
        """The report, within 80 columns."""
        lines = []
        if not quiet:
            lines += wrapped(f"{source}: {self.salvage.describe()}")
            for kind, words in self._rows():
                lines += wrapped(f"  {kind:<8}  {words}")
        return "\n".join([*lines, *wrapped(self._last(target))]) + "\n"

    def _rows(self) -> Iterator[tuple[str, str]]:
        found = self.salvage
        for gap in found.gaps[:_SHOWN]:
            yield "damaged", _of_gap(gap)
        if len(found.gaps) > _SHOWN:
            yield "damaged", f"and {len(found.gaps) - _SHOWN:,} more stretches"
        yield from _few("made", found.made)
        yield from _few("left out", found.left_out)
        for path, felt in self.missing():
            yield "missing", f"{path.partition('.')[2]}: {felt}"
        if self.whole:
            return
        for state, words in _STATES:
            if ranges := list(found.frames.ranges(state)):
                yield "frames", f"{words}: {_ranges(ranges)}"
        if found.frames.untracked:
            yield "frames", f"{found.frames.untracked:,} more were named than are followed"
        errors = [finding for finding in self.outcome.findings if finding.severity == "error"]
        yield from _few("breaks", [f"{one.clause} at {one.offset}: {one.message}" for one in errors])

    def _last(self, target: str) -> str:
        if self.written:
            how = "as it was, all of it whole" if self.whole else "salvaged"
            rest = "" if self.outcome.conforms else "; it does not conform, and no receiver takes it as it is"
            return f"{target}: {self.written:,} bytes, {how}{rest}"
        return (
            f"{target}: not written: what is whole makes no conforming stream; --incomplete writes it all the same,"
            " for streamfmt extract and show to take out what there is"
        )

    # -- for programs -----------------------------------------------------------------------------------------------

    def as_dict(self, target: str) -> dict[str, Any]:
        """The report as plain values, as in spec/json/salvage.json, without the input's name."""
        found = self.salvage
        return {
            "status": self.status,
            "stream": found.describe(),
            "bytes": found.size,
            "output": target,
            "written": self.written,
            "whole": self.whole,
            "conforms": self.outcome.conforms,
            "checkpoint": found.checkpoint if found.checkpoint >= 0 else None,
            "records": found.state.records,
            "gaps": [
                {
                    "offset": gap.start,
                    "resumed": gap.stop,
                    "why": gap.why,
                    "record": gap.name,
                    "frames": gap.what,
                    "kept": gap.kept,
                }
                for gap in found.gaps
            ],
            "made": found.made,
            "left_out": found.left_out,
            "missing": [{"record": path, "felt": felt} for path, felt in self.missing()],
            "frames": {name: _listed(list(found.frames.ranges(state))) for state, name in _NAMES.items()},
            "findings": [one.as_dict() for one in self.outcome.findings if one.severity == "error"][:_LISTED],
        }


_STATIC = 3
_STATES = (
    (DOUBTFUL, "in damaged records"),
    (OLDER, "there as they were earlier, a later copy being damaged"),
    (0, "never seen below the highest, sent or not"),
)
_NAMES = {DOUBTFUL: "doubtful", OLDER: "older", 0: "unseen"}


def _of_gap(gap: Gap) -> str:
    where = f"at {gap.start:,}"
    end = f"; records go on at {gap.stop:,}" if gap.stop is not None and gap.stop > gap.start else ""
    end = end or ("; nothing after it is read" if gap.stop is None else "")
    what = f"; {gap.name} is {'kept' if gap.kept else 'left out'}" if gap.name and gap.stop != gap.start else ""
    frames = f" ({gap.what})" if gap.what else ""
    return f"{where}: {gap.why}{what}{frames}{end}"


def _few(kind: str, rows: list[str]) -> Iterator[tuple[str, str]]:
    for row in rows[:_SHOWN]:
        yield kind, row
    if len(rows) > _SHOWN:
        yield kind, f"and {len(rows) - _SHOWN:,} more"


def _ranges(ranges: list[tuple[int, int]]) -> str:
    total = sum(last - first + 1 for first, last in ranges)
    shown = [f"{first:#x}" if first == last else f"{first:#x} to {last:#x}" for first, last in ranges[:_SHOWN]]
    more = f" and {len(ranges) - _SHOWN:,} more ranges" if len(ranges) > _SHOWN else ""
    return f"{count(total, 'frame')}, {', '.join(shown)}{more}"


def _listed(ranges: list[tuple[int, int]]) -> dict[str, Any]:
    return {
        "count": sum(last - first + 1 for first, last in ranges),
        "ranges": [[hex(first), hex(last)] for first, last in ranges[:_LISTED]],
        "more": max(len(ranges) - _LISTED, 0),
    }
