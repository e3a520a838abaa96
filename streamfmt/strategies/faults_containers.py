"""How clauses about files and captures around a stream are broken beyond what the schema says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from json import dumps

from hypothesis import strategies as st

from .. import tables
from ..schema import hvm, libvirt, qemu, xapi
from ..writer import Draft, Part, after_text, in_migration, raw, record, sized, unsized
from ..writer.builders import XENOPS, guest_of, in_libvirt, in_xl
from ..writer.qemu import small_record
from .conforming import made
from .edits import (
    Fault,
    at,
    big_endian,
    declaring,
    doubling,
    inserting,
    of,
    rotated,
    swapping,
    to,
    truncated,
)
from .faults_libxl import CUT_RECORD, NO_RECORD
from .from_schema import broken_field, having
from .sample import Sample

LIBXL = made(("libxl",), clean=True)
LIBXL_PV = made(("libxl",), ("pv",), clean=True)
LIBXL_HVM = made(("libxl",), ("hvm",), clean=True, need=("libxc.HVM_PARAMS",))
LIBXC = made(("libxc",), modes=("plain",), clean=True)
XL = made(("xl",), clean=True)
LIBVIRT = made(("libvirt",), clean=True)
_FIRMWARE = ("xapi.VARSTORED", "xapi.SWTPM", "xapi.QEMU_TRAD")
XAPI = made(("xapi",), clean=True)
XAPI_HVM = made(("xapi",), ("hvm",), clean=True, need=("xapi.VARSTORED",))
MIGRATION = made(("xl-migrate",), modes=("plain",), clean=True)
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=9).map(str.encode)


def around(base: st.SearchStrategy[Sample], form: str, wrap: Callable[[st.DrawFn, Draft], Draft]) -> Fault:
    """A file made around the streams of `base`."""
    return to(base, lambda draw, stream: iter([wrap(draw, stream)]), form=form)


# -- xl and libvirt -------------------------------------------------------------------------------------------


def _short_data(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    yield from _of_size(stream, draw(st.integers(1, 3)))


def _of_size(stream: Draft, size: int) -> Iterator[Draft]:
    """With so many bytes of optional data."""
    short = stream.swap("xl.OPTIONAL_DATA", raw(bytes(size)))
    yield short.patch("xl.header", "optional_data_len", size)


def _config_length(draw: st.DrawFn, part: Part) -> Part:
    most = len(part.values["config"])
    wrong = draw(st.integers(most + 1, most + 9) | st.integers(most + 1, (1 << 32) - 1))
    return replace(part, patches=(("config_len", wrong),))


_NO_JSON = PRINTABLE.filter(lambda text: not text.lstrip().startswith(b"{"))
_NO_CONFIGURATION = (
    st.just(b"{}"),
    st.just(b"{}\0\0"),
    st.just(b"{\0}\0"),
    _NO_JSON.map(lambda text: text + b"\0"),
)
_NO_XML = (
    st.just(b"<domain/>"),
    st.just(b"<domain\0/>\0"),
    PRINTABLE.filter(lambda text: not text.lstrip().startswith(b"<")).map(lambda text: text + b"\0"),
)


def _described(kind: str, **rest: object) -> bytes:
    """A configuration of a guest of that type; `rest` goes to what is built."""
    return dumps({"c_info": {"type": kind, "name": "guest"}, "b_info": rest}).encode() + b"\0"


def _other_type(draw: st.DrawFn, stream: Draft) -> Draft:
    kind = guest_of(stream)
    return in_xl(stream, _described(draw(st.sampled_from({"pv": ("hvm", "pvh"), "hvm": ("pv",)}[kind]))))


def _too_many_vcpus(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With one more vcpu than the configuration has room for, where the image has a vcpu's context."""
    most = draw(st.integers(1, 40))
    path = "libxc.X86_PV_VCPU_BASIC"
    if path in stream.paths:
        number = of(stream, path)[-1]
        more = replace(stream.parts[number], values={**stream.parts[number].values, "vcpu_id": most})
        yield in_xl(at(stream, number + 1, more), _described("pv", max_vcpus=most))


def _other_viridian(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With a configuration that turns on what the image has not."""
    if guest_of(stream) == "hvm" and not any(
        row["index"] == hvm.PARAM_VIRIDIAN for part in stream for row in part.values.get("params", ())
    ):
        yield in_xl(stream, _described("hvm", **{"type.hvm": {"viridian": "True"}}))


# -- xapi -----------------------------------------------------------------------------------------------------

_TIME, _WORD = b"(time 20240301T09:30:00Z)", b"(word_size 64)"


# The description of a guest that has a device model.
XENOPS_HVM = b"(" + _TIME + _WORD + b'(vm_str "((id 1)(name guest)(ty(HVM((firmware Bios)))))"))'


def _xenops(*texts: bytes) -> Fault:
    """With one of these in its XENOPS record."""
    return to(XAPI, swapping("xapi.XENOPS", lambda draw, _: sized("XENOPS", draw(st.sampled_from(texts)))))


def _with(*pairs: bytes) -> list[bytes]:
    return [b"(" + _TIME + _WORD + pair + b")" for pair in pairs]


def _words(*texts: bytes) -> list[bytes]:
    return [b"(" + _TIME + b"(word_size " + text + b"))" for text in texts]


def _no_memory(_: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    first = stream.find("xapi.LIBXC")
    yield at(stream, first, drop=stream.find("libxc.END") + 1 - first)


def _legacy(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """No reader of ours knows where a legacy stream ends."""
    noise = raw(draw(st.binary(max_size=24)))
    yield Draft((*stream.parts[: stream.find("xapi.LIBXC")], unsized("LIBXC_LEGACY"), noise))


def _disordered(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    """With one of the records after the memory somewhere else, or a TPM without firmware."""
    path = draw(st.sampled_from([path for path in _FIRMWARE if path in stream.paths]))
    number = draw(st.sampled_from(of(stream, path)))
    rest = at(stream, number, drop=1)
    for place in rotated(draw, [rest.find("xapi.LIBXC"), *range(rest.find("libxc.END") + 1, len(rest.parts))]):
        yield at(rest, place, stream.parts[number])
    yield stream.without("xapi.VARSTORED")


def _only_hvm(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    parts = [sized("VARSTORED", b""), sized("SWTPM", b"AAAA"), sized("QEMU_TRAD", qemu.EMPTY)]
    first = draw(st.integers(0, 2))
    kept = [parts[0], *parts[1 : draw(st.integers(0, 3))]] if not first else parts[2:]
    yield at(stream, len(stream.parts) - 1, *kept)


def _too_much(draw: st.DrawFn, _: Part) -> Part:
    # Zeros follow, as the state of a device, and the end.
    return sized("QEMU_TRAD", small_record(b"\1")[:-1]).filled(xapi.QEMU_MAX + draw(st.integers(1, 9)))


_NO_BASE64 = st.sampled_from(
    (b"A", b"AAA", b"AAAAA", b"====", b"A===", b"AA==AAAA", b"AA-_", b"AAAA\n", b"AAA AAAA", b"\0\0\0\4tpm2")
)
_CODES = {row.code for row in xapi.RECORDS}
_S64 = st.integers(-(1 << 63), (1 << 63) - 1)
_TOO_LONG = st.sampled_from((-1, xapi.LENGTH_MAX + 1)) | _S64.filter(lambda size: not 0 <= size <= xapi.LENGTH_MAX)

# -- captures -------------------------------------------------------------------------------------------------


def _text_before(draw: st.DrawFn) -> Iterator[Sample]:
    sample = draw(made(clean=True))
    text = draw(st.sampled_from((b"X", b"Warning: Permanently added 'b' to the list of known hosts.\r\n")) | PRINTABLE)
    # Text cannot be declared: what follows it is found.
    yield Sample(after_text(sample.stream, text), "auto", sample.mode, sample.deep)


def _status(draw: st.DrawFn, stream: Draft) -> Iterator[Draft]:
    failed = stream.put("xl-migrate.STATUS", status=draw(st.integers(1, 255)))
    yield failed if "xl-migrate.GIVE_BACK" in stream.paths else failed.then(record("xl-migrate.GIVE_BACK"))


def _unfinished(draw: st.DrawFn) -> Iterator[Sample]:
    sample = draw(MIGRATION)
    stream = sample.stream
    offsets = stream.offsets()
    first = stream.find("xl-migrate.READY")
    yield replace(sample, stream=replace(stream, cut=draw(st.integers(offsets[first], offsets[-1] - 1))))


FAULTS: dict[str, Fault | tuple[Fault, ...]] = {
    "STREAM-CONFIG-TYPE": around(LIBXL, "xl", _other_type),
    "STREAM-CONFIG-VCPUS": to(LIBXL_PV, _too_many_vcpus, form="xl"),
    "STREAM-CONFIG-VIRIDIAN": to(LIBXL_HVM, _other_viridian, form="xl"),
    "XL-CONFIG-DOMID": around(
        LIBXL,
        "xl",
        lambda draw, stream: in_xl(
            stream, b'{"c_info": {"domid": %d}}\0' % draw(st.integers(1, tables.DOMID_FIRST_RESERVED - 1))
        ),
    ),
    "XL-BYTEORDER": (
        partial(broken_field, path="xl.header.byteorder"),
        to(XL, big_endian("xl")),
    ),
    "XL-OPTDATA-LEN": to(XL, _short_data),
    "XL-CONFIG-PRESENT": (
        around(LIBXL, "xl", lambda _, stream: in_xl(stream, b"", json=0)),
        to(XL, lambda _, stream: _of_size(stream, 0)),
    ),
    "XL-CONFIG-LEN": to(XL, swapping("xl.OPTIONAL_DATA", _config_length)),
    "XL-CONFIG-FORM": around(LIBXL, "xl", lambda draw, stream: in_xl(stream, draw(st.one_of(*_NO_CONFIGURATION)))),
    "XL-CONFIG-JSON": around(LIBXL, "xl", lambda draw, stream: in_xl(stream, draw(PRINTABLE), json=0)),
    "XL-OPTDATA-REST": around(
        LIBXL, "xl", lambda draw, stream: in_xl(stream, rest=draw(st.binary(min_size=1, max_size=9)))
    ),
    "XL-FLAG-STREAM": (
        around(LIBXL, "xl", lambda _, stream: in_xl(stream, stream_v2=0)),
        around(LIBXC, "xl", lambda draw, stream: in_xl(stream, stream_v2=draw(st.integers(0, 1)))),
    ),
    "XL-TRUNC": truncated(XL, "xl", "libxl"),
    "LIBVIRT-XML-LEN": around(LIBXL, "libvirt", lambda _, stream: in_libvirt(stream, b"")),
    "LIBVIRT-XML": around(LIBXL, "libvirt", lambda draw, stream: in_libvirt(stream, draw(st.one_of(*_NO_XML)))),
    "LIBVIRT-VERSION-STREAM": (
        around(LIBXL, "libvirt", lambda _, stream: in_libvirt(stream, version=tables.LIBVIRT_VERSION_LEGACY)),
        around(
            LIBXC,
            "libvirt",
            lambda draw, stream: in_libvirt(stream, version=draw(st.sampled_from(libvirt.VERSIONS[::-1]))),
        ),
    ),
    "LIBVIRT-TRUNC": truncated(LIBVIRT, "libvirt", "libxl"),
    "XAPI-TYPE": to(
        XAPI,
        inserting(
            st.tuples(st.integers(0, 0x10000) | _S64, st.binary(max_size=9))
            .filter(lambda row: row[0] not in _CODES)
            .map(lambda row: Part("xapi.END_OF_IMAGE", data=row[1], code=row[0]))
        ),
    ),
    "XAPI-RESERVED": to(
        XAPI, inserting(st.binary(max_size=9).map(lambda data: sized("QEMU_XEN", data)), st.just(unsized("LIBXL")))
    ),
    "XAPI-LENGTH": to(XAPI, declaring("xapi", _TOO_LONG, "xapi.XENOPS", *_FIRMWARE)),
    "XAPI-LENGTH-ZERO": to(XAPI, declaring("xapi", _S64.filter(bool), "xapi.LIBXC", "xapi.END_OF_IMAGE")),
    "XAPI-XENOPS-FORM": _xenops(
        b"",
        b" ",
        b"time",
        b")",
        b"(",
        XENOPS[:-1],
        XENOPS + b")",
        XENOPS + XENOPS,
        XENOPS + b"\0",
        b"(time)",
        b"(())",
        *_with(b"(vm_str)", b"(vm_str", b"(vm_str a b)", b'(vm_str "a)', rb'(vm_str "\256")', b"(vm_str a#|b)"),
    ),
    "XAPI-XENOPS-KEYS": _xenops(
        b"()",
        b"(" + _WORD + b")",
        b"(" + _TIME + b")",
        b"(" + _TIME + _WORD + _TIME + b")",
        *_with(b"(vm a)", b"(VM_STR a)", b'("" a)', b"(memory((a b)))"),
    ),
    "XAPI-XENOPS-VALUES": _xenops(
        *_with(b"(vm_str(a))", b"(xs_subtree a)", b"(xs_subtree((a b c)))", b"(xs_subtree(()))"),
        *_words(b"wide", b'""', b"(64)", b"64.0", b"0b2", b"4611686018427387904"),
    ),
    "XAPI-WORD-SIZE": to(
        XAPI,
        swapping(
            "xapi.XENOPS",
            lambda draw, _: sized(
                "XENOPS",
                _words(b"%d" % draw(st.integers(0, xapi.LENGTH_MAX).filter(lambda size: size not in xapi.WORD_SIZES)))[
                    0
                ],
            ),
        ),
    ),
    "XAPI-MEMORY": to(XAPI, _no_memory),
    "XAPI-MEMORY-ONCE": to(XAPI, doubling("xapi.LIBXC", "libxc.END")),
    "XAPI-ORDER": to(XAPI_HVM, _disordered),
    "XAPI-HVM-ONLY": to(made(("xapi",), ("pv",), clean=True), _only_hvm),
    "XAPI-QEMU-MAX": to(having("xapi.QEMU_TRAD"), swapping("xapi.QEMU_TRAD", _too_much)),
    "XAPI-QEMU-FORM": to(
        having("xapi.QEMU_TRAD"),
        swapping("xapi.QEMU_TRAD", lambda draw, _: sized("QEMU_TRAD", draw(st.just(b"") | NO_RECORD))),
    ),
    "XAPI-QEMU-WHOLE": to(
        having("xapi.QEMU_TRAD"),
        swapping("xapi.QEMU_TRAD", lambda draw, _: sized("QEMU_TRAD", draw(CUT_RECORD))),
    ),
    "XAPI-QEMU-PRESENT": to(
        having("xapi.QEMU_TRAD"),
        lambda _, stream: iter([stream.swap("xapi.XENOPS", sized("XENOPS", XENOPS_HVM)).without("xapi.QEMU_TRAD")]),
    ),
    "XAPI-SWTPM-TEXT": to(
        having("xapi.SWTPM"), swapping("xapi.SWTPM", lambda draw, _: sized("SWTPM", draw(_NO_BASE64)))
    ),
    "XAPI-SWTPM0": to(
        having("xapi.SWTPM"), swapping("xapi.SWTPM", lambda draw, _: sized("SWTPM0", draw(st.binary(max_size=9))))
    ),
    "XAPI-LIBXC-LEGACY": to(XAPI, _legacy),
    "XAPI-SLACK": to(
        XAPI,
        lambda draw, stream: iter([stream.then(raw(draw(st.binary(max_size=9)), fill=draw(st.integers(1, 5000))))]),
    ),
    "XAPI-TRUNC": truncated(XAPI, "xapi"),
    "XL-MIGRATE-CONFIG": around(
        made(("libxl",), modes=("plain",), clean=True),
        "xl-migrate",
        lambda _, stream: in_migration(in_xl(stream, b"", json=0)),
    ),
    "XL-MIGRATE-TRUNC": truncated(MIGRATION, "xl-migrate", "xl"),
    "XL-MIGRATE-STATUS": to(MIGRATION, _status),
    "XL-MIGRATE-UNFINISHED": _unfinished,
    "XL-MIGRATE-AFTER": to(
        MIGRATION, lambda draw, stream: iter([stream.then(raw(draw(st.binary(min_size=1, max_size=24))))])
    ),
    "STREAM-TEXT": _text_before,
}
