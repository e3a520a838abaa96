"""Small good streams of each kind: what fuzzers begin with."""

from __future__ import annotations

from ..schema import libxc
from ..writer import (
    Part,
    Stream,
    context,
    control,
    dirty,
    emulator,
    header,
    image_headers,
    in_libvirt,
    in_xapi,
    in_xl,
    p2m,
    pages,
    params,
    pv_info,
    record,
    sized,
    vcpu,
    xenstore,
)

_TSC = record("libxc.X86_TSC_INFO", mode=0, khz=2_400_000, nsec=10**9, incarnation=1)
_END = record("libxc.END")
_REGISTERS = dict.fromkeys(("eax", "ebx", "ecx", "edx"), 1)
_STATIC = (
    record(
        "libxc.X86_CPUID_POLICY", leaves=[{"leaf": 0, "subleaf": 0xFFFFFFFF, "eax": 1, "ebx": 1, "ecx": 1, "edx": 1}]
    ),
    record("libxc.X86_MSR_POLICY", msrs=[{"index": 0xCE, "value": 0}]),
    record("libxc.STATIC_DATA_END"),
)
_CONTEXT = context((1, 0, bytes.fromhex("86123854 01000000") + b"\xff" * 8 + bytes(8)), (0, 0, b""))
_HVM_REST = (_TSC, params((1, 0xFEFFC), (17, 0xFEFFF)), _CONTEXT)
_LIBXL = (header("libxl.header", version=2, options={"legacy": 0, "endian": 0}), record("libxl.LIBXC_CONTEXT"))
_TAIL = (xenstore("physmap/f0000000/size", "800000"), emulator())


def _hvm(version: int, rest: tuple[Part, ...]) -> Stream:
    static = _STATIC if version > 2 else ()
    memory = (pages((0, "NOTAB"), (1, "XTAB"), (2, "XALLOC")), pages((3, "NOTAB")))
    return Stream((*image_headers("hvm", version), *static, *memory, *_HVM_REST, *rest))


def _pv(version: int, width: int) -> Stream:
    static = _STATIC if version > 2 else ()
    table = "L4TAB_PINNED" if width == 8 else "L3TAB_PINNED"
    memory = pages(
        (0, "NOTAB"), (1, "NOTAB"), (2, table), content={number: bytes(libxc.PAGE_SIZE) for number in range(3)}
    )
    state = (
        _TSC,
        record("libxc.SHARED_INFO", page=bytes(libxc.PAGE_SIZE)),
        vcpu("BASIC", 0, libxc.VCPU_CONTEXT_SIZES[width]),
        vcpu("EXTENDED", 0, 64),
        vcpu("XSAVE", 0, 592),
    )
    info = pv_info(width, 4 if width == 8 else 3)
    return Stream((*image_headers("pv", version), info, *static, p2m(0, 2, 1), memory, *state, _END))


def _libxl(image: Stream, *tail: Part) -> Stream:
    return Stream((*_LIBXL, *image, *tail, record("libxl.END")))


def _remus() -> Stream:
    """A libxl stream of two checkpoints, which ends after the second."""
    end = (record("libxc.CHECKPOINT"), *_TAIL, record("libxl.CHECKPOINT_END"))
    return Stream((*_LIBXL, *_hvm(3, ()), *end, pages((3, "NOTAB")), *_HVM_REST, *end))


def good() -> dict[str, tuple[Stream, str, str]]:
    """Streams that conform, each with its form and mode, by name."""
    hvm = _hvm(3, (_END,))
    libxl = _libxl(hvm, *_TAIL)
    return {
        "libxc-hvm": (hvm, "libxc", "plain"),
        "libxc-hvm-v2": (_hvm(2, (_END,)), "libxc", "plain"),
        "libxc-pv": (_pv(3, 8), "libxc", "plain"),
        "libxc-pv-32": (_pv(2, 4), "libxc", "plain"),
        "libxl-hvm": (libxl, "libxl", "plain"),
        "libxl-pv": (_libxl(_pv(3, 8)), "libxl", "plain"),
        "libxl-remus": (_remus(), "libxl", "remus"),
        "xl-hvm": (in_xl(libxl), "xl", "plain"),
        "libvirt-hvm": (in_libvirt(libxl), "libvirt", "plain"),
        "xapi-hvm": (in_xapi(hvm, sized("QEMU_TRAD", b"QEVM\0\0\0\3\4pc\0")), "xapi", "plain"),
        "back-channel": (Stream((control(2), control(3), control(1), dirty(5, 9), control(2))), "back-channel", "colo"),
    }
