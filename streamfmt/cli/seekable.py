"""Input of commands that go to and fro in it: a regular file or a block device, which is not compressed."""

from __future__ import annotations

import os
import stat

from ..errors import UnreadableError, UnwritableError
from ..io.sources import compressed, reason
from ..reader.identify import COMPRESSED_HEAD
from . import inputs


class UsageError(Exception):
    """The command is used wrongly; the message says how."""


def opened(
    path: str,
    output: str,
    done: str,
    *,
    how: str = "",
    option: str = "OUTPUT",
    instead: str = "give it another name",
    write: bool = False,
) -> int:
    """The descriptor of the input at `path`, for a result that is to be a new file at `output`, if that is not empty.

    `done` is what standard input cannot be; `how` says, {key} being what has compressed an input, how to decompress it.
    `option` is what gives `output`, and `instead` what to do if that is the input.  With `write` it can be written to.
    Raises UsageError, and OSError.
    """
    if path == "-":
        raise UsageError(f"standard input cannot be {done}; save it to a file first")
    if output == "-":
        raise UsageError(f"{option} takes the name of a file; standard output is none")
    fd = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(21, "it is a directory")
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            raise UsageError(f"{inputs.shown(path)} is a pipe or the like; save it to a file first")
        if key := compressed(os.pread(fd, COMPRESSED_HEAD, 0)):
            raise UsageError(f"{inputs.shown(path)} is compressed with {key}; decompress it first{how.format(key=key)}")
        if output and inputs.same_file(fd, output):
            raise UsageError(f"{option} is the input itself; {instead}")
    except BaseException:
        os.close(fd)
        raise
    return fd


def unable(error: Exception, source: str, target: str) -> int:
    """Say what could not be read or written, where the system says no; the exit status."""
    if isinstance(error, UnreadableError):
        inputs.complain(source, f"cannot read: {error}")
    elif isinstance(error, OSError):
        inputs.complain(os.fsdecode(error.filename or target), f"cannot write: {reason(error)}")
    else:
        inputs.complain(target, f"cannot write: {error}")
    return 3


# What it says.
UNABLE = (UnreadableError, UnwritableError, OSError)
