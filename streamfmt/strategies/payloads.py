"""What records and entries carry for Xen and the processor: contents of each form, such as receivers load.

They are zero but for a few fields, whose values are any that the clauses allow, so that they shrink to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from hypothesis import strategies as st

from ..codec import encode
from ..codec.inside import put_at
from ..codec.payload import payloads as layouts
from ..payload_tables import FIELDS, LISTS
from ..schema import features, payload_rules, payload_xsave
from ..schema.hvm import HEADER_DATA
from ..schema.payloads import PAYLOADS

# Fields that are given a value, at most; units of what has any length.
_SOME, _UNITS = 6, 4
_FORMS = {row.path: row for row in PAYLOADS}
_PATHS = tuple(sorted(_FORMS))
_FPU = 1 << features.XCR0_BITS["x87"] | 1 << features.XCR0_BITS["sse"]


class Content(NamedTuple):
    """What a payload holds: `path` is that of its form, as docs/payloads.md has it, and `data` its bytes."""

    path: str
    data: bytes


def payloads(path: str | None = None, instance: int = 0) -> st.SearchStrategy[Content]:
    """Contents of a payload that keep every rule of what is inside it.

    :param path: of its form, such as "hvm.CPU" or "pv.VCPU_64"; any form by default.
    :param instance: the vcpu, or the device, that an entry of an HVM context or a context of a vcpu is of.
    :raises ValueError: there is no such form.
    """
    if path is not None and path not in _FORMS:
        raise ValueError(f"there is no payload {path}; those there are: {', '.join(_PATHS)}")
    chosen = st.sampled_from(_PATHS) if path is None else st.just(path)
    return chosen.flatmap(lambda form: contents(form, instance))


@st.composite
def contents(draw: st.DrawFn, path: str, instance: int) -> Content:
    """The same of one form."""
    kind = next((make for head, make in _MADE.items() if path.startswith(head)), None)
    raw = Raw(path, kind(draw, path) if kind is not None else bytes(_FORMS[path].size))
    places = _places(path, len(raw.data))
    if places:
        for place in draw(st.lists(st.sampled_from(places), max_size=_SOME, unique=True)):
            if _plain(place) not in raw.fixed:
                raw.draw(draw, place)
    sound = next((mend for head, mend in _SOUND.items() if path.startswith(head)), None)
    if sound is not None:
        sound(raw, instance)
    return Content(path, bytes(raw.data))


class Raw:
    """Bytes of a payload, whose fields are read and written by their names; `fixed` are those that stay as made."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = bytearray(data)
        self.most = payload_rules.MOST.get(path, {})
        self.fixed = {"count", "header.xcomp_bv", "xcr0", "xcr0_accum", "magic", "version", "msrs.index"}

    def draw(self, draw: st.DrawFn, place: str) -> None:
        """Give a field a value that it may have."""
        at, row = put_at(layouts()[self.path], len(self.data), lambda _: self.data, place)
        bound = self.most.get(_plain(place))
        if at + row.offset + row.size > len(self.data) or row.constant is not None:
            return
        if row.raw:
            if bound is None:
                encode.put(self.data, at, row, draw(st.binary(min_size=row.size, max_size=row.size)), "<", place)
            return
        most = bound[1] if bound is not None else (1 << row.bits - row.signed) - 1
        allowed = st.sampled_from(row.allowed) if row.allowed is not None else st.integers(0, most)
        encode.put(self.data, at, row, draw(allowed), "<", place)

    def get(self, place: str) -> int:
        """A field's value."""
        at, row = put_at(layouts()[self.path], len(self.data), lambda _: self.data, place)
        return row.value(bytes(self.data[at : at + row.offset + row.size]), "little")

    def put(self, **values: int) -> None:
        """Give fields values; two underscores stand for a dot."""
        for name, value in values.items():
            place = name.replace("__", ".")
            at, row = put_at(layouts()[self.path], len(self.data), lambda _: self.data, place)
            encode.put(self.data, at, row, value, "<", place)


def _plain(place: str) -> str:
    """A place without numbers of elements."""
    head, bracket, rest = place.partition("[")
    return head + rest.partition("]")[2] if bracket else place


def _places(path: str, size: int) -> list[str]:
    """Fields of a payload of `size` bytes that any value may be given to, or any below a bound."""
    found = [name for name, row in FIELDS.get(path, {}).items() if row[0] + row[1] <= size]
    for name, (at, unit, element, count) in LISTS.get(path, {}).items():
        there = range(min(max(size - at, 0) // unit, count if isinstance(count, int) else _UNITS))
        found += [f"{name}[{number}].{field}".rstrip(".") for number in there for field in FIELDS.get(element, {})]
    return [name for name in found if not name.rpartition(".")[2].startswith(("reserved", "pad", "unused", "unknown"))]


# -- what has any length --------------------------------------------------------------------------------------


def _msrs(draw: st.DrawFn, _: str) -> bytes:
    chosen = draw(st.lists(st.sampled_from(payload_rules.MSRS), min_size=1, max_size=_UNITS, unique=True))
    rows = (index.to_bytes(8, "little") + draw(st.binary(min_size=8, max_size=8)) for index in chosen)
    return len(chosen).to_bytes(8, "little") + b"".join(rows)


def _area(draw: st.DrawFn, path: str) -> bytes:
    """Masks, and an area that ends where the last component of them does."""
    before = 3 if path.startswith("hvm") else 2
    if path.endswith("_ANY"):
        # With a component that has no name, of which only CPUID leaf 0xd could say where it ends.
        accum, end = _FPU | 1 << 62, payload_rules.AREAS[-1][1] + 1 + draw(st.integers(0, 62))
    else:
        amd = path.endswith("_AMD")
        known = payload_xsave.places(amd)
        last = draw(st.sampled_from([bit for bit in known if not amd or bit > features.XCR0_BITS["avx"]]))
        below = [bit for bit in known if known[bit][0] < known[last][0]]
        more = draw(st.lists(st.sampled_from(below), unique=True)) if below else []
        accum = _FPU | 1 << last | sum(1 << bit for bit in more)
        end = sum(known[last])
    masks = (0, _FPU, accum)[3 - before :]
    return b"".join(mask.to_bytes(8, "little") for mask in masks) + bytes(end)


_MADE: dict[str, Callable[[st.DrawFn, str], bytes]] = {
    "hvm.CPU_MSR": _msrs,
    "hvm.CPU_XSAVE": _area,
    "pv.XSAVE_16": lambda _, __: bytes(16),
    "pv.XSAVE": _area,
    "hvm.HEADER": lambda _, __: HEADER_DATA,
}


# -- what several fields say together -------------------------------------------------------------------------


def _cpu(raw: Raw, _: int) -> None:
    raw.put(**{name: raw.get(name) & bits for name, bits in payload_rules.CPU_BITS.items()})
    raw.put(cr0=raw.get("cr0") | 0x11, msr_efer__lma=0)


def _pic(raw: Raw, instance: int) -> None:
    raw.put(modes__is_master=int(not instance))
    if raw.get("state.init_state"):
        raw.put(int_output=0)


def _lapic(raw: Raw, _: int) -> None:
    if raw.get("apic_base_msr.x2apic"):
        raw.put(apic_base_msr__enabled=1)


def _hpet(raw: Raw, _: int) -> None:
    raw.put(**{f"timers[{number}].config.periodic": 0 for number in range(3)})


def _viridian(raw: Raw, _: int) -> None:
    for number in range(4):
        count = f"stimer_count_msr[{number}]"
        raw.put(**{count: raw.get(count) or 1})


def _xsave(raw: Raw, _: int) -> None:
    raw.put(header__xstate_bv=raw.get("header.xstate_bv") & raw.get("xcr0_accum"))


def _owner(raw: Raw, instance: int) -> None:
    raw.put(vcpu=instance, size=len(raw.data))


def _flags(raw: Raw, _: int) -> None:
    raw.put(user_regs__eflags=raw.get("user_regs.eflags") & ~(1 << 17))


_NOTHING: Callable[[Raw, int], None] = lambda _, __: None  # noqa: E731 - for entries whose names begin like others
_SOUND: Mapping[str, Callable[[Raw, int], None]] = {
    "hvm.CPU_XSAVE": _xsave,
    "hvm.CPU_MSR": _NOTHING,
    "hvm.CPU": _cpu,
    "hvm.PIC": _pic,
    "hvm.LAPIC_REGS": _NOTHING,
    "hvm.LAPIC": _lapic,
    "hvm.HPET": _hpet,
    "hvm.VIRIDIAN_VCPU_": _NOTHING,
    "hvm.VIRIDIAN_VCPU": _viridian,
    "pv.XSAVE_16": _NOTHING,
    "pv.XSAVE": _xsave,
    "pv.EXTENDED": _owner,
    "pv.VCPU_32": _flags,
}
