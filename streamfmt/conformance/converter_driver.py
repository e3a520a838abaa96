"""Converts many streams by Xen's convert-legacy-stream, each in a fork; `converters.convert` runs this file as a child.

Standard input has a line of JSON for each request, the stream's length and the options, and then the stream.  Standard
output gets a line of JSON, with exit status, place in the input, and lengths of output, stdout and stderr, and these.
Xen's modules must be on PYTHONPATH.
"""

from __future__ import annotations

import json
import optparse  # noqa: F401 - the script imports it when it runs, which would cost each fork most of its time
import os
import resource
import signal
import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

# Bytes of memory that one conversion may have, and seconds: what is endless ends by SIGALRM.
_MEMORY, _SECONDS = 1 << 30, 20


def _loaded(path: str) -> ModuleType:
    """The script as a module, which does not run yet."""
    loader = SourceFileLoader("convert_legacy_stream", path)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    # As a traceback of the whole script has it.
    module.StreamError.__module__ = "__main__"
    return module


def _run(script: ModuleType, words: list[str]) -> int:
    """Run it as its last lines do; the exit status that Python would end with."""
    sys.argv = [script.__file__ or "", *words]
    status = 0
    try:
        sys.exit(script.main())
    except SystemExit as end:
        status = 1 if isinstance(end.code, str) else end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    # What is left open is written as the interpreter ends.
    for file in (script.fout, sys.stdout, sys.stderr):
        try:
            if file is not None and not file.closed:
                file.flush()
        except OSError:
            pass
    return status


def _conversion(script: ModuleType, words: list[str], data: bytes) -> tuple[int, int, list[bytes]]:
    """Exit status, place in the input, and what came out: converted, printed, complained."""
    given, written, out, err = (os.memfd_create(name) for name in ("given", "written", "out", "err"))
    with open(given, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(given, 0, os.SEEK_SET)
    child = os.fork()
    if not child:
        status = 70
        try:
            os.dup2(out, 1)
            os.dup2(err, 2)
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            signal.alarm(_SECONDS)
            status = _run(script, ["--in", str(given), "--out", str(written), *words])
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    place = os.lseek(given, 0, os.SEEK_CUR)
    found = []
    for number in (written, out, err):
        os.lseek(number, 0, os.SEEK_SET)
        with open(number, "rb") as file:
            found.append(file.read())
    os.close(given)
    return status, place, found


def main() -> None:
    """Convert until the end of standard input."""
    script = _loaded(sys.argv[1])
    answers = sys.stdout.buffer
    for request in sys.stdin.buffer:
        length, *words = json.loads(request)
        status, place, found = _conversion(script, words, sys.stdin.buffer.read(length))
        answers.write(json.dumps([status, place, *map(len, found)]).encode() + b"\n" + b"".join(found))
        answers.flush()


if __name__ == "__main__":
    main()
