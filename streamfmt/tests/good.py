"""Streams that break no rule: the smallest of each kind that still has something of everything.

Vectors are edits of these.  GOOD holds them by name; each accepts every clause.
"""

from __future__ import annotations

from ..schema import capture, libxc
from ..writer import (
    TOP_TABLE,
    Part,
    Stream,
    behind_text,
    context,
    control,
    dirty,
    emulator,
    header,
    in_libvirt,
    in_migration,
    in_xapi,
    in_xl,
    p2m,
    pages,
    params,
    pv_info,
    raw,
    record,
    sized,
    vcpu,
    vcpu_msrs,
    xenstore,
)

_REGISTERS = dict.fromkeys(("eax", "ebx", "ecx", "edx"), 1)
CPUID = record(
    "libxc.X86_CPUID_POLICY", leaves=[{"leaf": leaf, "subleaf": 0xFFFFFFFF, **_REGISTERS} for leaf in (0, 1)]
)
MSR = record("libxc.X86_MSR_POLICY", msrs=[{"index": 0xCE, "value": 0}, {"index": 0x10A, "value": 1}])
SDE = record("libxc.STATIC_DATA_END")
TSC = record("libxc.X86_TSC_INFO", mode=0, khz=2_400_000, nsec=10**9, incarnation=1)
SHARED_INFO = record("libxc.SHARED_INFO", page=bytes(libxc.PAGE_SIZE))
CHECKPOINT = record("libxc.CHECKPOINT")
VERIFY = record("libxc.VERIFY")
END = record("libxc.END")
LIBXC_CONTEXT = record("libxl.LIBXC_CONTEXT")
CHECKPOINT_END = record("libxl.CHECKPOINT_END")
LIBXL_END = record("libxl.END")
LIBXL_HEADER = header("libxl.header", version=2, options={"legacy": 0, "endian": 0})
NEW_CHECKPOINT = record("libxl.CHECKPOINT_STATE", control_id="NEW")

HVM_HEADER_ENTRY = (1, 0, bytes.fromhex("86123854 01000000") + b"\xff" * 8 + bytes(8))
HVM_END_ENTRY = (0, 0, b"")
_MSRS = b"\1" + bytes(7) + b"\x48" + bytes(7) + b"\1" + bytes(7)
HVM_CONTEXT = context(HVM_HEADER_ENTRY, (3, 0, bytes(5) + b"@\0\0"), (3, 1, bytes(8)), (20, 0, _MSRS), HVM_END_ENTRY)
HVM_PARAMS = params((1, 0xFEFFC), (5, 0xFEFF8), (17, 0xFEFFF))
XENSTORE = xenstore("physmap/f0000000/start_addr", "f0000000", "physmap/f0000000/size", "800000", "name", "")
EMULATOR = emulator()


def _image(version: int, guest: str) -> tuple[Part, Part]:
    return (
        header("libxc.image_header", version=version, options={"endian": 0}, id=0x58454E46),
        header("libxc.domain_header", type=libxc.GUESTS[guest], page_shift=12, xen_major=4, xen_minor=17),
    )


# One batch of many kinds, then runs of one-entry records with and without content: all that the reader tells apart.
HVM_MEMORY = (
    pages((0, "NOTAB"), (1, "XTAB"), (2, "BROKEN"), (3, "XALLOC")),
    pages((4, "NOTAB")),
    pages((5, "NOTAB")),
    pages((6, "XTAB")),
    pages((1, "XTAB")),
)
# In the order the specification asks for, which no released saver keeps: LIBXC-HVMPARAMS-ORDER.
_HVM_TAIL = (TSC, HVM_PARAMS, HVM_CONTEXT)
HVM = Stream((*_image(3, "hvm"), CPUID, MSR, SDE, *HVM_MEMORY, *_HVM_TAIL, END))
HVM_V2 = Stream((*_image(2, "hvm"), *HVM_MEMORY, *_HVM_TAIL, END))

# A page table: one present entry within the guest, one absent entry full of leftovers.
_TABLE = ((1 << 12) + 1).to_bytes(8, "little") + b"\xfe" + b"\xff" * 7 + bytes(libxc.PAGE_SIZE - 16)
PV_LAST = 3
_PAGE_TABLES = {4: "L3TAB_PINNED", 8: "L4TAB_PINNED"}


def _pv_pages(width: int) -> Part:
    kind = _PAGE_TABLES[width]
    # Frame 0 is the start_info page, which names frames by number: all of them 0.
    content = {0: bytes(libxc.PAGE_SIZE), TOP_TABLE: _TABLE}
    return pages((0, "NOTAB"), (1, "NOTAB"), (TOP_TABLE, kind), (PV_LAST, "XTAB"), content=content)


PV_PAGES = _pv_pages(8)


def _pv_tail(width: int) -> tuple[Part, ...]:
    return (
        TSC,
        SHARED_INFO,
        vcpu("BASIC", 0, libxc.VCPU_CONTEXT_SIZES[width]),
        vcpu("EXTENDED", 0, 64),
        vcpu("XSAVE", 0, 592),
        vcpu_msrs(0, (0xC0000103, 7)),
    )


def _pv(version: int, width: int) -> Stream:
    static = (pv_info(width, 4 if width == 8 else 3), *((CPUID, MSR, SDE) if version > 2 else ()))
    return Stream((*_image(version, "pv"), *static, p2m(0, PV_LAST, 1), _pv_pages(width), *_pv_tail(width), END))


PV = _pv(3, 8)
PV32 = _pv(3, 4)
PV_V2 = _pv(2, 8)


def wrapped(image: Stream, *tail: Part) -> Stream:
    """The image inside a libxl stream that ends with `tail` and END."""
    return Stream((LIBXL_HEADER, LIBXC_CONTEXT, *image, *tail, LIBXL_END))


LIBXL_HVM = wrapped(HVM, XENSTORE, EMULATOR)
LIBXL_PV = wrapped(PV)


def checkpointed(image: Stream, memory: Part, libxl_tail: tuple[Part, ...] | None, announce: bool = False) -> Stream:
    """Three checkpoints of `image`, which stops after the last one; in a libxl stream if `libxl_tail` is given.

    `announce` puts COLO's CHECKPOINT_STATE between two checkpoints.
    """
    first = image.parts[:-1]
    tail = tuple(part for part in first[image.find("libxc.X86_TSC_INFO") :])
    close = (CHECKPOINT,) if libxl_tail is None else (CHECKPOINT, *libxl_tail, CHECKPOINT_END)
    again = (*((NEW_CHECKPOINT,) if announce else ()), memory, *tail, *close)
    outer = () if libxl_tail is None else (LIBXL_HEADER, LIBXC_CONTEXT)
    return Stream((*outer, *first, *close, *again, *again))


REMUS_HVM = checkpointed(HVM, pages((5, "NOTAB")), None)
REMUS_PV = checkpointed(PV, pages((1, "NOTAB")), None)
LIBXL_REMUS = checkpointed(HVM, pages((5, "NOTAB")), (XENSTORE, EMULATOR))
LIBXL_REMUS_PV = checkpointed(PV, pages((1, "NOTAB")), ())
LIBXL_COLO = checkpointed(HVM, pages((5, "NOTAB")), (EMULATOR,), announce=True)

# What a COLO secondary sends: the first round, then two more.
_ROUND = (control(2), control(3))
BACK = Stream((*_ROUND, control(1), dirty(5, 9, 5), *_ROUND, control(1), dirty(), *_ROUND))

XL_HVM = in_xl(LIBXL_HVM)
XL_REMUS = in_xl(LIBXL_REMUS)
LIBVIRT_HVM = in_libvirt(LIBXL_HVM)

VARSTORED = sized("VARSTORED", b"VARS\1\0\0\0" + bytes(13))
SWTPM = sized("SWTPM", b"AABCDEFghijk+/==")
QEMU_TRAD = sized("QEMU_TRAD", b"QEVM\0\0\0\3\4pc\0")
XAPI_HVM = in_xapi(HVM, QEMU_TRAD)
XAPI_UEFI = in_xapi(HVM, VARSTORED, SWTPM, SWTPM, QEMU_TRAD)
XAPI_PV = in_xapi(PV)
MIGRATION = in_migration(XL_HVM)
# What the sender says, as its side alone is captured.
SENDER = XL_HVM.then(raw(capture.GO))
# A checkpointed stream has no handshake.
MIGRATION_REMUS = Stream((header("xl-migrate.header"), *XL_REMUS))
HTTP_HEAD = (
    b"PUT /services/xenops/migrate/mem/1e9a2d35-8e5c-4e4e-9d3b-000000000001 HTTP/1.1\r\n"
    b"Connection: keep-alive\r\nUser-agent: xenopsd\r\nCookie: mem_migration=26.17.0\r\n\r\n"
)
XAPI_HTTP = behind_text(XAPI_PV, HTTP_HEAD, "http.HEAD")

GOOD: dict[str, Stream] = {
    "hvm": HVM,
    "hvm-v2": HVM_V2,
    "pv": PV,
    "pv-32": PV32,
    "pv-v2": PV_V2,
    "libxl-hvm": LIBXL_HVM,
    "libxl-pv": LIBXL_PV,
    "remus-hvm": REMUS_HVM,
    "remus-pv": REMUS_PV,
    "libxl-remus-hvm": LIBXL_REMUS,
    "libxl-remus-pv": LIBXL_REMUS_PV,
    "libxl-colo": LIBXL_COLO,
    "back-channel": BACK,
    "xl-hvm": XL_HVM,
    "xl-remus": XL_REMUS,
    "libvirt-hvm": LIBVIRT_HVM,
    "xapi-hvm": XAPI_HVM,
    "xapi-uefi": XAPI_UEFI,
    "xapi-pv": XAPI_PV,
    "migration": MIGRATION,
    "migration-remus": MIGRATION_REMUS,
    "xapi-http": XAPI_HTTP,
}
