"""Which pages a process wrote, as the kernel tracks them: userfaultfd in its asynchronous mode, and PAGEMAP_SCAN.

A range that is registered so is written without anybody's help: the kernel marks a page when it is written first
(Documentation/admin-guide/mm/userfaultfd.rst, UFFD_FEATURE_WP_ASYNC; pagemap.rst, PAGEMAP_SCAN; Linux 6.7).  Requests
and structures are those of include/uapi/linux/userfaultfd.h and include/uapi/linux/fs.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path

from ...errors import GuestError
from .memory import PAGE, of_runs

# The system calls' numbers, which are not the same on all machines (arch/*/entry/syscalls).
_CALLS = {"x86_64": (323, 325), "aarch64": (282, 284)}
_USER_MODE_ONLY = 1
_API, _API_VERSION = 0xC018AA3F, 0xAA
_API_FORM = struct.Struct("<QQQ")  # version, features, requests that there are then
_REGISTER, _REGISTER_FORM, _REGISTER_WRITES = 0xC020AA00, struct.Struct("<QQQQ"), 2
# Shared memory too, pages that were never touched too, and nobody has to answer.
_FEATURES = 1 << 12 | 1 << 13 | 1 << 15
_MLOCK_ONFAULT = 1
_SCAN = 0xC0606610
_SCAN_FORM = struct.Struct("<12Q")
_REGION = struct.Struct("<QQQ")
_PROTECT_AGAIN, _ONLY_ASYNC = 1, 2
# Only what is there: pages that never were count as written too, and protecting those would take tables for them all.
_WRITTEN, _PRESENT, _SWAPPED = 1 << 1, 1 << 3, 1 << 4
# Ranges that one scan returns at most; it goes on after them.
_RANGES = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


def _failed(what: str) -> GuestError:
    return GuestError(f"{what}: {os.strerror(ctypes.get_errno()).lower()}")


def track(address: int, size: int) -> int:
    """Have the kernel track writes of this process to a range of it, as long as the descriptor is open.

    :raises GuestError: it cannot be; it says why.
    """
    calls = _CALLS.get(platform.machine())
    if calls is None:
        raise GuestError(f"userfaultfd's number on {platform.machine()} is not known")
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = _libc.syscall(calls[0], flags)
    if descriptor < 0 and ctypes.get_errno() == errno.EPERM:
        descriptor = _libc.syscall(calls[0], flags | _USER_MODE_ONLY)
    if descriptor < 0:
        raise _failed("userfaultfd")
    try:
        try:
            fcntl.ioctl(descriptor, _API, bytearray(_API_FORM.pack(_API_VERSION, _FEATURES, 0)))
        except OSError:
            raise GuestError("the kernel's userfaultfd has no WP_ASYNC (Linux 6.7)") from None
        try:
            fcntl.ioctl(descriptor, _REGISTER, bytearray(_REGISTER_FORM.pack(address, size, _REGISTER_WRITES, 0)))
        except OSError as error:
            raise GuestError(f"userfaultfd does not take this memory: {(error.strerror or '').lower()}") from None
        _hold(calls[1], address, size)
    except GuestError:
        os.close(descriptor)
        raise
    return int(descriptor)


def _hold(call: int, address: int, size: int) -> None:
    """Keep pages in memory once they are there: with one that is swapped out goes that it was written."""
    if not _libc.syscall(call, ctypes.c_void_p(address), ctypes.c_size_t(size), _MLOCK_ONFAULT):
        return
    if len(Path("/proc/swaps").read_text().splitlines()) > 1:
        raise _failed("the guest's pages could be swapped out, and what was written be forgotten: mlock")


class Scanner:
    """Asks which pages of a range of a process were written.

    :param pagemap: a descriptor of that process's /proc/PID/pagemap; it is the scanner's from now on.
    :param address: where in that process the range begins.
    """

    def __init__(self, pagemap: int, address: int, pages: int) -> None:
        self._pagemap, self._address, self._pages = pagemap, address, pages
        self._ranges = bytearray(_RANGES * _REGION.size)

    def scan(self, protect: bool) -> int:
        """The set of frames that were written since they were protected; `protect` does so again, in the same step.

        :raises GuestError: the process is gone, or the kernel cannot.
        """
        try:
            found = of_runs(self._runs(protect), self._pages)
            # Of a process that has ended a scan finds nothing, and is no error; but it has no entries to read either.
            alive = os.pread(self._pagemap, 8, self._address // PAGE * 8)
        except OSError as error:
            if error.errno in {errno.ENOTTY, errno.EINVAL}:
                raise GuestError("the kernel has no PAGEMAP_SCAN (Linux 6.7)") from None
            raise GuestError(f"the guest's pages cannot be scanned: {(error.strerror or '').lower()}") from None
        if not alive:
            raise GuestError("the guest's process has ended")
        return found

    def _runs(self, protect: bool) -> Iterator[tuple[int, int]]:
        ranges = ctypes.c_char.from_buffer(self._ranges)
        vector = ctypes.addressof(ranges)
        flags = _PROTECT_AGAIN | _ONLY_ASYNC if protect else 0
        start, end = self._address, self._address + self._pages * PAGE
        while start < end:
            asked = (
                _SCAN_FORM.size,
                flags,
                start,
                end,
                0,
                vector,
                _RANGES,
                0,
                0,
                _WRITTEN,
                _PRESENT | _SWAPPED,
                _WRITTEN,
            )
            buffer = bytearray(_SCAN_FORM.pack(*asked))
            count = fcntl.ioctl(self._pagemap, _SCAN, buffer)
            start = _SCAN_FORM.unpack(buffer)[4]
            for first, last, _ in _REGION.iter_unpack(memoryview(self._ranges)[: count * _REGION.size]):
                yield (first - self._address) // PAGE, (last - first) // PAGE

    def close(self) -> None:
        """Scan no more; may come again."""
        if self._pagemap >= 0:
            os.close(self._pagemap)
            self._pagemap = -1


def missing() -> str:
    """Why writes cannot be tracked here, in words; empty if they can."""
    with mmap.mmap(-1, PAGE) as page:
        first = ctypes.c_char.from_buffer(page)
        address = ctypes.addressof(first)
        del first
        try:
            descriptor = track(address, PAGE)
        except GuestError as error:
            return str(error)
        try:
            scanner = Scanner(os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC), address, 1)
        except OSError as error:
            os.close(descriptor)
            return f"/proc/self/pagemap: {(error.strerror or '').lower()}"
        try:
            scanner.scan(protect=True)
            page[0] = 1
            return "" if scanner.scan(protect=True) else "the kernel does not see that a page was written"
        except GuestError as error:
            return str(error)
        finally:
            scanner.close()
            os.close(descriptor)
