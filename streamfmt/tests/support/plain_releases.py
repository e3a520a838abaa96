"""What each release of Xen from 3.0 to 4.5 wrote into its legacy streams, as a table; nothing of the product."""

from __future__ import annotations

from typing import NamedTuple

from . import plain_legacy as plain


class Variant(NamedTuple):
    """What a release writes.

    `blocks` are those of the extended info, which "pae" has only 32-bit guests have; `words` those of the vcpu map:
    none (no map), one, or as many as it takes (-1).  `params` are the HVM chunks in their order.  `bare` says whether
    an entry without page has lost its PFN, in PV and in HVM guests.  `crossed` says whether guest and toolstack may
    differ in width, `extended` how many bytes of the extended context mean something.
    """

    blocks: tuple[str, ...]
    words: int
    hvm: bool = True
    crossed: bool = True
    params: tuple[int, ...] = ()
    bare: tuple[bool, bool] = (False, False)
    extended: int = 0
    tsc: bool = False
    tmem: int | None = None
    remus: bool = False
    compression: bool = False
    last: bool = False
    toolstack: bool = False
    xalloc: bool = False
    broken: bool = False
    list_list: bool = False
    permuted: bool = False
    qemu: tuple[str, str] = ("to-end", "to-end")  # by xend, by libxl


_3_3 = (plain.HVM_IDENT_PT,)
_3_4 = (plain.HVM_IDENT_PT, plain.HVM_VM86_TSS)
_4_1 = (*_3_4, plain.HVM_CONSOLE_PFN, plain.HVM_ACPI_IOPORTS_LOCATION)
_4_1_3 = (*_4_1, plain.HVM_VIRIDIAN)
_4_2 = (
    plain.HVM_GENERATION_ID_ADDR,
    plain.HVM_IDENT_PT,
    plain.HVM_PAGING_RING_PFN,
    plain.HVM_ACCESS_RING_PFN,
    plain.HVM_SHARING_RING_PFN,
    plain.HVM_VM86_TSS,
    plain.HVM_CONSOLE_PFN,
    plain.HVM_ACPI_IOPORTS_LOCATION,
    plain.HVM_VIRIDIAN,
)
_4_5 = (*_4_2, plain.HVM_IOREQ_SERVER_PFN, plain.HVM_NR_IOREQ_SERVER_PAGES)

_OLDEST = Variant((), 0, hvm=False, crossed=False, list_list=True, permuted=True)
_V3_1 = Variant(("pae",), 1, crossed=False, permuted=True)
_V3_2 = Variant(("vcpu", "extv"), 1, extended=32, permuted=True)
_V3_3 = _V3_2._replace(params=_3_3, permuted=False)
_V4_0 = _V3_3._replace(params=_3_4, bare=(True, False), tsc=True, tmem=0, remus=True)
_V4_1 = _V4_0._replace(
    blocks=("vcpu", "extv", "xcnt"),
    params=_4_1,
    bare=(True, True),
    tmem=1,
    last=True,
    qemu=("to-end", "0002"),
)
_V4_2 = _V4_1._replace(params=_4_2, words=-1, extended=40, compression=True, toolstack=True, xalloc=True)
_V4_3 = _V4_2._replace(extended=56, broken=True)

VARIANTS = {
    "3.0.2": _OLDEST,
    "3.0.4": _OLDEST._replace(blocks=("pae",)),
    "3.1": _V3_1,
    "3.2": _V3_2,
    "3.3": _V3_3,
    "3.4": _V3_3._replace(params=_3_4),
    "4.0": _V4_0,
    "4.1": _V4_1,
    "4.1.3": _V4_1._replace(params=_4_1_3),
    "4.2": _V4_2,
    "4.3": _V4_3,
    "4.4": _V4_3,
    "4.5": _V4_3._replace(params=_4_5),
}
