"""Change the configuration, a header's flag or one field of a file.

The file itself is changed only with --in-place.  An edit after which a rule is broken that was not broken before is
refused.
"""

from __future__ import annotations

import os
import stat
import sys

from ..convert.edit import Edit
from ..convert.places import UnknownError
from ..errors import FieldError, StreamError
from ..io.sources import reason
from . import inputs
from .seekable import UNABLE, UsageError, opened, unable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..checks.findings import Finding

EXAMPLES = """paths:
  xl.header.mandatory_flags.json          a field of a header
  HVM_PARAMS.HPET_ENABLED, HVM_PARAMS.VIRIDIAN.apic_assist
                                          a parameter by its name, a bit of one
  HVM_CONTEXT.HPET.timers[0].config.periodic
                                          a bit of an entry of Xen's context
  HVM_CONTEXT.CPU.rip, X86_CPUID_POLICY.avx2
                                          a register, and a feature of a policy
  page[0x5].entries[3].rw, page[1].nr_pages
                                          of page tables and start info of pages
  SECTION_FULL[3].version_id              of a frame of QEMU, inside others too
  EMULATOR_XENSTORE_DATA.name             the value of a key of xenstore
  X86_TSC_INFO[1].khz                     of the second such record
  record[12].khz                          of the record that show lists as 12
  HVM_CONTEXT.CPU[0]@0x10, @0x24          bytes there, given in hexadecimal

keys of configurations:
  c_info.name, disks[0].pdev_path         of xl's JSON
  memory, disk[0]                         of xl's text
  name, devices.disk[0].source.file       of libvirt's XML
  vm_str.name, image.hvm.kernel           of S-expressions of XAPI, of xend

examples:
  streamfmt edit guest.sav --set xl.header.mandatory_flags.json=1 --in-place
  streamfmt edit old.sav --set-config 'disks[0].pdev_path=/dev/b' -o new.sav
  streamfmt edit guest.sav --editor -o new.sav
  streamfmt edit guest.sav --set HVM_PARAMS.HPET_ENABLED=0 --dry-run

exit status: 0 changed; 1 the file breaks off, or is not a stream we read;
2 wrong usage, or the edit would break a rule; 3 could not read or write;
130 interrupted, 143 terminated
"""
# The longest value that is printed whole, in bytes.
_SHOWN = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="file to edit: a regular file or a block device, not compressed")
    parser.add_argument(
        "--set",
        dest="fields",
        metavar="PATH=VALUE",
        type=_assignment,
        action="append",
        default=[],
        help="give a field a value; may be repeated",
    )
    parser.add_argument(
        "--set-config", dest="keys", metavar="KEY=VALUE", type=_assignment, action="append", default=[],
        help="change a value of the guest's configuration, by its name or path; may be repeated",
    )  # fmt: skip
    whole = parser.add_mutually_exclusive_group()
    whole.add_argument("--configuration", metavar="FILE", help="put in another configuration; - is standard input")
    whole.add_argument("--editor", action="store_true", help="edit the configuration in $VISUAL or $EDITOR")
    parser.add_argument("-o", "--output", metavar="NEW", help="write the changed file here; it may exist")
    parser.add_argument(
        "--in-place", action="store_true", help="change the file itself: only the bytes named, if its length stays"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
    parser.add_argument("--force", action="store_true", help="break rules, if need be; they are printed")
    parser.add_argument("--json", action="store_true", help="print JSON; streamfmt help json describes it")
    inputs.add_form(parser)


def _assignment(text: str) -> tuple[str, str]:
    name, equal, value = text.partition("=")
    if not equal or not name:
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def run(args: argparse.Namespace) -> int:
    name = args.file
    try:
        fd = _opened(args)
    except UsageError as error:
        inputs.say(f"streamfmt edit: error: {error}")
        return 2
    except OSError as error:
        inputs.complain(name, f"cannot {'write' if args.in_place else 'read'}: {reason(error)}")
        return 3
    try:
        with inputs.Writing():
            edit, broken = _edited_file(args, fd)
    except UsageError as error:
        inputs.say(f"streamfmt edit: error: {error}")
        return 2
    except FieldError as error:
        hint = inputs.near(error.known, error.name, most=2) if isinstance(error, UnknownError) else ""
        inputs.complain(name, f"{error}{hint}")
        return 2
    except StreamError as error:
        inputs.complain(name, error)
        return 1
    except UNABLE as error:
        return unable(error, name, args.output or name)
    finally:
        os.close(fd)
    if edit is None:
        return 2
    try:
        _report(args, edit, broken)
        sys.stdout.flush()
    except OSError as error:
        done = "" if args.dry_run else "; the edit itself is done"
        inputs.complain("standard output", f"cannot write: {reason(error)}{done}")
        inputs.discard_output()
        return 3
    return 0


def _opened(args: argparse.Namespace) -> int:
    """The file's descriptor.  Raises UsageError, and OSError."""
    if not (args.fields or args.keys or args.configuration or args.editor):
        raise UsageError("nothing to change; use --set, --set-config, --configuration or --editor")
    if bool(args.output) + args.in_place + args.dry_run != 1:
        raise UsageError("say where the change goes: one of --in-place, -o NEW and --dry-run")
    instead = "to change that, use --in-place"
    return opened(args.file, args.output or "", "edited", option="-o", instead=instead, write=args.in_place)


def _edited_file(args: argparse.Namespace, fd: int) -> tuple[Edit | None, list[Finding]]:
    """The edit, made, and rules that it breaks; none if it is refused, which is said then."""
    edit = Edit(fd, args.form, args.guest)
    edit.make(args.fields, _rewrite(args))
    broken = edit.breaches()
    if broken and not args.force:
        for finding in broken:
            inputs.complain(args.file, _breach(finding))
        inputs.say(
            f"streamfmt: nothing was changed; streamfmt explain {broken[0].clause} explains the rule,"
            " and --force breaks it"
        )
        return None, broken
    if (edit.splices or args.output) and not args.dry_run:  # worked out before anything is written
        if args.in_place and edit.fits:
            _in_place(fd, edit)
        elif args.in_place and not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError("the length changes, which a device cannot take; use -o NEW")
        else:
            _to_new(args.output or args.file, fd, edit)
    return edit, broken


def _breach(finding: Finding) -> str:
    return f"{finding.clause} at {finding.offset}: {finding.message}"


# -- the configuration ----------------------------------------------------------------------------------------------


def _rewrite(args: argparse.Namespace) -> Callable[[bytes], bytes] | None:
    """What makes the new configuration of the old one, if it is to change."""
    if not (args.keys or args.configuration or args.editor):
        return None
    try:
        given = inputs.configuration(args.configuration) if args.configuration else None
    except ValueError as error:
        raise UsageError(str(error)) from None

    def rewrite(text: bytes) -> bytes:
        if given is not None:
            text = given
        if args.editor:
            text = _edited(text)
        if args.keys:
            from ..convert.source_text import put

            for key, value in args.keys:
                text = put(text, key, value)
        return text

    return rewrite


def _edited(text: bytes) -> bytes:
    """The text as an editor leaves it.  Raises UsageError."""
    import shlex
    import subprocess
    from tempfile import NamedTemporaryFile

    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with NamedTemporaryFile(prefix="streamfmt-", suffix=".txt") as file:
        file.write(text)
        file.flush()
        try:
            status = subprocess.run([*words, file.name], check=False).returncode
        except OSError as error:
            raise UsageError(f"{words[0]}: cannot be run: {reason(error)}") from error
        if status:
            raise UsageError(f"{words[0]} ended with status {status}; nothing was changed")
        with open(file.name, "rb") as edited:  # editors put a new file in the place of the old
            new = edited.read()
    # Editors end the last line, which need not have been one.
    return new if text.endswith(b"\n") else new.removesuffix(b"\n")


# -- writing --------------------------------------------------------------------------------------------------------


def _in_place(fd: int, edit: Edit) -> None:
    """Overwrite the bytes that change, one stretch after another, and have the disk take them.

    No signal comes between: what leaves some old and some new is a crash of the system, and the same command again
    makes all of them new.
    """
    from _signal import (  # type: ignore[import-not-found] # signal loads its enumerations slowly
        SIG_BLOCK,
        SIG_SETMASK,
        SIGHUP,
        SIGINT,
        SIGTERM,
        pthread_sigmask,
    )

    from ..io.spliced import overwrite

    before = pthread_sigmask(SIG_BLOCK, (SIGHUP, SIGINT, SIGTERM))
    try:
        for start, _, data in edit.splices:
            overwrite(fd, start, data)
        os.fdatasync(fd)  # its length stays, and the time of the change may come to the disk later
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def _to_new(path: str, fd: int, edit: Edit) -> None:
    """A new file with the changes, which gets its name when it is complete."""
    from ..io.outputs import FileOutput
    from ..io.spliced import Spliced

    out = FileOutput(path)
    try:
        with inputs.Progress(edit.size) as progress:
            Spliced(fd, edit.size, edit.splices).write(out.fd, progress)
    except BaseException:
        out.abort()
        if not out.atomic:
            inputs.complain(path, "what it has of the result is not all, and of no use")
        raise
    out.finish()


# -- the report -----------------------------------------------------------------------------------------------------


def _report(args: argparse.Namespace, edit: Edit, broken: list[Finding]) -> None:
    """What has changed, or would."""
    out = inputs.report_to(args.output)
    if args.json:
        from json import dumps

        print(dumps(_as_dict(args, edit, broken)), file=out)
        return
    for finding in broken:
        print(inputs.fitted(f"  breaks {_breach(finding)}", out), file=out)
    for made in edit.changes:
        words = f"  {made.words}" if made.words else ""
        print(inputs.fitted(f"  {made.what} at {made.start} ({made.start:#x}):{words}", out), file=out)
        if len(made.old) <= _SHOWN and len(made.data) <= _SHOWN:
            print(f"    {made.old.hex(' ')} -> {made.data.hex(' ')}", file=out)
    splices = edit.splices
    size = sum(len(data) for _, _, data in splices)
    count = f"{size:,} byte{'s' * (size != 1)}"
    if not splices:
        how = "nothing changes: all that is as asked for already"
        how += f"; {inputs.shown(args.output)} is a copy" if args.output else ""
    elif args.dry_run:
        how = f"{count} would change, {'in place' if edit.fits else 'in a new file'}"
    else:
        how = f"{count} changed" + (f", in {inputs.shown(args.output)}" if args.output else "")
    print(inputs.fitted(f"{inputs.shown(args.file)}: {how}", out), file=out)


def _as_dict(args: argparse.Namespace, edit: Edit, broken: list[Finding]) -> dict[str, object]:
    """The report as plain values, as in spec/json/edit.json."""
    from ..reader.identification import named

    return {
        "format": "streamfmt-edit-1",
        **named(args.file),
        "dry_run": args.dry_run,
        "in_place": edit.fits and not args.output,
        "changes": [
            {
                "what": made.what,
                "offset": made.start,
                "length": len(made.old),
                "before": made.old.hex(),
                "after": made.data.hex(),
                "words": made.words,
            }
            for made in edit.changes
        ],
        "ranges": [{"offset": start, "length": stop - start, "bytes": len(data)} for start, stop, data in edit.splices],
        "breaks": [finding.as_dict() for finding in broken],
    }
