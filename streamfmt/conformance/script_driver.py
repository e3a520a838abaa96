"""Judges many streams by Xen's own Python modules, in one process; `peers.script` runs this file as a child.

Standard input and output are as `xenpeer judge` has them: "FORM LENGTH" and the bytes in, a line of JSON out, FORM
one of what verify-stream-v2 takes after -f.  Xen's modules must be on PYTHONPATH.  That the verdicts are those of the
whole script is tested in test_peers.py.
"""

from __future__ import annotations

import io
import json
import struct
import sys

# The modules come with Debian's xen-utils, outside every environment that mypy looks into.
from xen.migration.libxc import VerifyLibxc  # type: ignore[import-not-found]
from xen.migration.libxl import VerifyLibxl  # type: ignore[import-not-found]
from xen.migration.verify import RecordError, StreamError  # type: ignore[import-not-found]

_XL_MAGIC = b"Xen saved domain, xl format\n \0 \r"
_XL_HEADER = struct.Struct("=4I")
_READERS = {"libxc": VerifyLibxc, "libxl": VerifyLibxl}
_XL_STREAM_V2 = 2  # a mandatory flag: libxl's stream follows, not libxc's


def _exactly(stream: io.BytesIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise OSError("Stream truncated")
    return data


def _inside_xl(stream: io.BytesIO) -> str:
    """Skip the header of an xl file; the form of what follows."""
    if _exactly(stream, len(_XL_MAGIC)) != _XL_MAGIC:
        raise StreamError("No xl header")
    _, mandatory, _, optional = _XL_HEADER.unpack(_exactly(stream, _XL_HEADER.size))
    _exactly(stream, optional)
    return "libxl" if mandatory & _XL_STREAM_V2 else "libxc"


def _judged(form: str, stream: io.BytesIO) -> tuple[str, str]:
    """Verdict and message: reject is the script's status 1, crash its status 2, for which it asks to be fixed."""
    try:
        reader = _READERS.get(form) or _READERS[_inside_xl(stream)]
        reader(lambda _: None, stream.read).verify()
    except (OSError, StreamError, RecordError) as error:
        return "reject", f"{type(error).__name__}: {error}"
    except Exception as error:
        return "crash", f"{type(error).__name__}: {error}"
    return "accept", ""


def main() -> None:
    """Judge until the end of standard input."""
    for request in sys.stdin.buffer:
        form, length = request.split()
        stream = io.BytesIO(sys.stdin.buffer.read(int(length)))
        verdict, message = _judged(form.decode(), stream)
        print(json.dumps({"verdict": verdict, "offset": stream.tell(), "message": message}), flush=True)


if __name__ == "__main__":
    main()
