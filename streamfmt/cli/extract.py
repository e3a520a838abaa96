"""Take a part out of a file: configuration, inner stream, a state, memory.

Only what is needed for that is read.  Without PART, --list shows which parts there are.
"""

from __future__ import annotations

import os
import stat
import sys

from ..convert.extract import JSON, RAW, TEXT, USUAL, SeveralError, Taking, refused
from ..convert.parts import ALIASES, KNOWN, NAMES, Wanted
from ..io.copying import Copying, Unplanned
from ..io.sources import compressed, reason
from ..memory import KINDS
from ..reader.identify import COMPRESSED_HEAD
from ..reader.registry import FORMS, load
from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import IO

    from ..codec.content import Buffer
    from ..convert.listing import Listing
    from ..io.outputs import Output
    from ..io.sources import Driven, Source

EXAMPLES = f"""parts:
  {", ".join(NAMES)};
  the payload of a QEMU device's section: section.timer, as --list has it;
  a whole stream inside, by its layer: libxl, libxc, legacy-64 and so on;
  the body of any record, by its path: libxc.HVM_CONTEXT
  name[1] is the second of that name.

examples:
  streamfmt extract --list guest.sav
  streamfmt extract guest.sav configuration >guest.json
  streamfmt extract guest.sav xenstore --json
  streamfmt extract suspend.vdi vtpm[0] -o tpm.bin
  zstd -dc guest.sav.zst | streamfmt extract - libxc -o guest.libxc
  streamfmt extract --memory elf guest.sav -o guest.core

memory: raw has every frame at its address, elf is a core file with a segment
for each range of frames and the vcpus' registers, lime is LiME's format.  What
is zero becomes holes.  A stream that is damaged is refused.

exit status: 0 taken out; 1 there is no such part, or the input breaks off, or
is not a stream we read, or memory is missing; 2 wrong usage; 3 could not read
or write; 130 interrupted, 143 terminated
"""
# Bytes of a part that are kept in memory until it is known to be whole; more go to a temporary file.
_SPOOL = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="file to read; - is standard input")
    parser.add_argument("part", metavar="PART", nargs="?", help="what to take out; see below")
    parser.add_argument(
        "-o", "--output", metavar="OUT", default="-", help="where to write it (default: standard output)"
    )
    parser.add_argument("--list", action="store_true", help="list the parts: names, offsets, lengths")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--raw", dest="how", action="store_const", const=RAW, default=USUAL, help="its bytes exactly as they lie"
    )
    how.add_argument("--text", dest="how", action="store_const", const=TEXT, help="text for people: indented")
    how.add_argument(
        "--json", dest="how", action="store_const", const=JSON, help="JSON, of a part or with --list of the list"
    )
    parser.add_argument("--memory", metavar="KIND", choices=KINDS, help="the guest's memory, as raw, elf or lime")
    parser.add_argument(
        "--index", action="store_true", help="with --memory: keep in FILE.pages where pages lie, and use that next time"
    )
    parser.add_argument(
        "--allow-damaged", action="store_true", help="with --memory: write what there is, and say what is missing"
    )
    parser.add_argument(
        "--channels",
        metavar="FILE",
        nargs="+",
        default=[],
        help="with --memory: the channels of the QEMU migration with multifd whose main stream FILE is",
    )
    inputs.add_form(parser)


def run(args: argparse.Namespace) -> int:
    misuse = _misuse(args)
    if misuse:
        inputs.say(f"streamfmt extract: error: {misuse}")
        return 2
    if args.list:
        return _list(args)
    if args.memory:
        return int(load("cli.memory:run")(args))  # it has a subject of its own
    wanted = Wanted(args.part)
    if args.output == "-":
        return _to_stdout(args, wanted)
    from ..io.outputs import FileOutput

    try:
        with inputs.Writing():
            out = FileOutput(args.output)
            status, size = _taken(args, wanted, out)
            if status:
                out.abort()
                return status
            out.finish()
    except OSError as error:
        inputs.complain(args.output, f"cannot write: {reason(error)}")
        return 3
    print(f"{inputs.shown(args.output)}: {size:,} bytes", file=inputs.report_to(args.output))
    return 0


def _taken(args: argparse.Namespace, wanted: Wanted, out: Output) -> tuple[int, int]:
    """Take the part out into `out`; the exit status, and how many bytes were written.

    Where it fails and a part has gone that cannot be taken back, that is said too.
    """
    status = 1
    try:
        status, size = _take(args, wanted, out)
    except BaseException:
        out.abort()
        raise
    finally:
        if status:
            inputs.partial(args.output, out)
    return status, size


def _misuse(args: argparse.Namespace) -> str:
    """What is wrong with the arguments, if anything is."""
    if args.list:
        if args.part or args.output != "-" or args.how in (RAW, TEXT):
            return "--list takes no PART and no option but --json and --as"
        if args.memory:
            return "--list and --memory are two tasks; ask for one"
        return ""
    if args.memory:
        return _memory_misuse(args)
    if args.index or args.allow_damaged or args.channels:
        return "--index, --allow-damaged and --channels are for --memory"
    if args.part is None:
        return "name a PART, or use --list to see which there are"
    try:
        wanted = Wanted(args.part)
    except ValueError as unknown:
        known = (*NAMES, *ALIASES, *FORMS, *KNOWN)
        near = inputs.near(known, str(unknown)) or f"; there are {', '.join(NAMES)}, streams and records"
        return f"there is no part called {inputs.shown(str(unknown))}{near}"
    if args.output != "-" and args.file != "-" and _same(args.file, args.output):
        return "-o is the input itself; give it another name"
    if args.output == "-" and sys.stdout.isatty() and not (args.how in (TEXT, JSON) or _readable(wanted)):
        return "standard output is a terminal; give -o a file, or a pipe"
    return refused(wanted, args.how)


def _memory_misuse(args: argparse.Namespace) -> str:
    if args.part or args.how != USUAL:
        return "--memory takes no PART, and no --raw, --text or --json"
    if args.index and args.channels:
        return "--index is of one file; leave it out with --channels"
    if args.index and (args.file == "-" or _within(args.file)):
        return "--index needs a file, beside which it lies"
    if args.output == "-" and sys.stdout.isatty():
        return "standard output is a terminal; give -o a file, or a pipe"
    if args.output != "-" and args.file != "-" and _same(args.file, args.output):
        return "-o is the input itself; give it another name"
    return ""


def _within(name: str) -> bool:
    """Whether that is a member of a backup."""
    try:
        os.stat(name)
    except NotADirectoryError:
        return True
    except OSError:
        pass  # reading says what is wrong
    return False


def _readable(wanted: Wanted) -> bool:
    """Whether the part is for people in its usual form."""
    return not refused(wanted, TEXT)


def _same(first: str, second: str) -> bool:
    try:
        found = os.stat(first)
        return stat.S_ISREG(found.st_mode) and os.path.samestat(found, os.stat(second))
    except OSError:
        return False


def _to_stdout(args: argparse.Namespace, wanted: Wanted) -> int:
    """To standard output: a stream as it comes, and what is shorter when it is known to be whole."""
    if wanted.name in FORMS:
        from ..io.outputs import output

        # Of a file the end is looked at first; of a pipe what comes is passed on.
        if _plain(args.file) and (status := _take(args, wanted, _Held(), trying=True)[0]):
            return status
        out = output(1)
        status, _ = _taken(args, wanted, out)
        out.flush()
        return status
    held = _Held()
    status, _ = _take(args, wanted, held)
    if not status:
        held.give(sys.stdout.buffer)
    return status


def _plain(name: str) -> bool:
    """Whether an input is a regular file that is not compressed, so that it is soon read twice."""
    try:
        if name == "-" or not stat.S_ISREG(os.stat(name).st_mode):
            return False
        with open(name, "rb", buffering=0) as file:
            return not compressed(file.read(COMPRESSED_HEAD))
    except OSError:
        return False  # what reads it says why


class _Held:
    """What takes bytes until all are there: in memory, and if there are many in a temporary file."""

    fd = -1

    def __init__(self) -> None:
        self._data = bytearray()
        self._file: IO[bytes] | None = None

    def write(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            self._data += buffer
        if len(self._data) > _SPOOL:
            if self._file is None:
                from tempfile import TemporaryFile  # few parts are so long

                self._file = TemporaryFile()  # noqa: SIM115 - it is closed with this
            self._file.write(self._data)
            self._data.clear()

    def flush(self) -> None:
        pass

    def give(self, out: IO[bytes]) -> None:
        """All of it to `out`."""
        if self._file is not None:
            from shutil import copyfileobj

            self._file.seek(0)
            copyfileobj(self._file, out)
            self._file.close()
        out.write(self._data)
        out.flush()


def _take(args: argparse.Namespace, wanted: Wanted, out: Output | _Held, trying: bool = False) -> tuple[int, int]:
    """Take the part out; the exit status, and how many bytes were written.

    With `trying` none are, and nothing is said of what comes after it.
    """
    taking = Taking(wanted, args.how, args.form, args.guest)
    if trying:
        taking.plan = Unplanned(copying=False)
    written = 0

    def copy(pump: Driven, source: Source, progress: object) -> None:
        nonlocal written
        copying = Copying(source, out, taking.plan)  # type: ignore[arg-type] # what is held takes bytes like an output
        try:
            copying.run(pump, progress)  # type: ignore[arg-type] # it is what run_reader gives
        finally:
            written = copying.written

    failure = inputs.run_reader(args.file, taking.reader, taking, copy)
    if failure is not None:
        target = "standard output" if args.output == "-" else args.output
        inputs.complain(target if failure.kind == "unwritable" else args.file, failure)
        return failure.status, written
    taking.end()
    if taking.error is not None:
        inputs.complain(args.file, taking.error)
        return 2 if isinstance(taking.error, SeveralError) else 1, written
    if taking.failure is not None and not trying:
        inputs.complain(args.file, f"{args.part} was taken out; after it, {taking.failure}")
    return 0, written


def _list(args: argparse.Namespace) -> int:
    """List the parts of one input."""
    from ..convert.listing import Listing
    from ..reader.identification import named

    listing = Listing(args.form, args.guest)
    failure = inputs.run_reader(args.file, listing.reader, listing)
    listing.end()
    status = max(failure.status if failure else 0, int(listing.failure is not None))
    if args.how == JSON:
        from json import dumps

        from ..convert.listing import FORMAT

        found = {"format": FORMAT} | named(args.file) | {"status": status}
        found |= {"failure": failure.as_dict() if failure else None} | listing.as_dict()
        print(dumps(found))
    elif listing.reader.identity is not None:
        _print(inputs.shown(args.file), listing)
    if failure is not None:
        inputs.complain(args.file, failure)
    return status


def _print(name: str, listing: Listing) -> None:
    print(inputs.fitted(f"{name}: {listing.description}"))
    rows = [(listing.label(part), f"{part.offset:#x}", f"{part.length:,}") for part in listing.parts]
    if rows:
        first, second, third = (
            max(map(len, column)) for column in zip(("part", "offset", "length"), *rows, strict=True)
        )
        print(f"  {'part':<{first}}  {'offset':>{second}}  {'length':>{third}}")
        for part, (label, offset, length) in zip(listing.parts, rows, strict=True):
            notes = [part.note] if part.note else []
            notes += [f"in {part.pieces} pieces"] if part.pieces > 1 else []
            notes += [] if part.whole else ["not whole"]
            print(f"  {label:<{first}}  {offset:>{second}}  {length:>{third}}  {', '.join(notes)}".rstrip())
    if listing.more:
        print(f"  and {listing.more:,} more")
    if listing.failure is not None:
        print(inputs.fitted(f"  stopped: {listing.failure}"))
