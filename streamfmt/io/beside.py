"""Files that get their name when they are complete, and what is done about those whose writer was killed.

Where the file system has it (O_TMPFILE), a file has no name at all until it is complete, so a kill leaves nothing.  The
system gives such a file a name that is free, and cannot give it one that is taken.  So a file that replaces another has
a name beside that one's between two calls, and where there is no O_TMPFILE it has one from the beginning.

Such a name ends in :data:`SUFFIX`, and its writer holds a lock on the file (flock).  A writer to the same target
later removes those that are not locked: their writers are no more.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress

SUFFIX = ".streamfmt-part"
# A name has the target's, a token of this many letters, and the suffix; together the system takes 255 bytes.
_TOKEN = 8
_LONGEST = 255 - len(SUFFIX) - _TOKEN - 1
_MODE = 0o666
# Names that this process has given.
_begun: set[str] = set()


class Beside:
    """A new file, open for writing as `fd`, that becomes `target`, an absolute path without links.

    It has the permissions `mode`, or those that open() gives if that is 0.  Everything raises OSError.
    """

    def __init__(self, target: str, mode: int = 0) -> None:
        self._target = target
        self._folder, base = os.path.split(target)
        # Others whose names begin with as much have the same stem; the lock says what may be removed.
        self._stem = os.fsdecode(os.fsencode(base)[:_LONGEST])
        self._name = ""
        clean(self._folder, self._stem)
        self.fd = _nameless(self._folder)
        if self.fd < 0:
            self.fd = self._named()
        if mode:
            try:
                os.fchmod(self.fd, mode)
            except BaseException:
                self.drop()
                raise

    def publish(self) -> None:
        """Give it the name that it is for, and close it."""
        if not self._name:
            try:
                self._link(self._target)
            except FileExistsError:
                self._take(self._link)
        if self._name:
            os.replace(self._name, self._target)
            self._forget()
        self._close()

    def drop(self) -> None:
        """Leave nothing of it."""
        self._close()
        if self._name:
            with suppress(FileNotFoundError):  # a signal came just after it was renamed
                os.unlink(self._name)
        self._forget()

    def _named(self) -> int:
        """A new file beside the target, and locked."""
        while True:
            fd = self._take(lambda name: os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
            _lock(fd)
            if os.path.lexists(self._name):
                return fd
            # Between the two calls it looked as if its writer were no more.
            os.close(fd)
            self._forget()

    def _take(self, make: Callable[[str], int]) -> int:
        """What `make` returns for a name beside the target that is free."""
        while True:
            name = os.path.join(self._folder, f"{self._stem}.{os.urandom(_TOKEN // 2).hex()}{SUFFIX}")
            _begun.add(name)  # before there is such a file: a signal may come at any time
            try:
                made = make(name)
            except FileExistsError:
                _begun.discard(name)  # it is none of ours
            except OSError:
                _begun.discard(name)
                raise
            else:
                self._name = name
                return made

    def _link(self, name: str) -> int:
        # With a directory, which an absolute path needs not, Python takes linkat(), which alone follows this link.
        os.link(_opened(self.fd), name, src_dir_fd=self.fd, follow_symlinks=True)
        return self.fd

    def _forget(self) -> None:
        _begun.discard(self._name)
        self._name = ""

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def sweep() -> None:
    """Remove what this process began and neither finished nor gave up, as when a signal comes just in between."""
    for name in tuple(_begun):
        with suppress(FileNotFoundError):
            os.unlink(name)
    _begun.clear()


def clean(folder: str | os.PathLike[str], stem: str | None = None) -> None:
    """Remove files from `folder` that writers left which are no more: for targets called `stem`, or for any.

    What cannot be looked at, or removed, is left.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(SUFFIX)]
    except OSError:
        return
    for name in names:
        of, _, token = name.removesuffix(SUFFIX).rpartition(".")
        if stem in (None, of) and len(token) == _TOKEN and not token.strip("0123456789abcdef"):
            _remove_unlocked(os.path.join(folder, name))


def _remove_unlocked(path: str) -> None:
    # Over a network an exclusive lock needs a file that is open for writing; one that may not be written does here.
    for access in (os.O_RDWR, os.O_RDONLY):
        with suppress(OSError):
            fd = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
            finally:
                os.close(fd)
            return


def _lock(fd: int) -> None:
    # It waits while somebody looks whether it is locked.  Where there are no locks, nothing is found to be unlocked.
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX)


def _nameless(folder: str) -> int:
    """A new file in `folder` without a name, and locked; -1 where that is not to be had."""
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, _MODE)
    except OSError:
        return -1  # whatever it is, a file with a name is either possible, or fails with what there is to say
    # It gets its name through /proc.  And before Linux 5.19 some file systems did not heed the umask here: where it
    # looks like that, a file with a name is safe.
    if os.path.exists(_opened(fd)) and stat.S_IMODE(os.fstat(fd).st_mode) != _MODE:
        _lock(fd)
        return fd
    os.close(fd)
    return -1


def _opened(fd: int) -> str:
    return f"/proc/self/fd/{fd}"
