"""Conforming streams of every form, around the images of `images`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, Literal, NamedTuple

from hypothesis import assume
from hypothesis import strategies as st

from ..api import Form, Mode
from ..reader.registry import FORMS, ROWS
from ..schema import libxc, libxl, protocol, states
from ..schema.machine import ANY, Machine
from ..schema.machine import MODES as ALL_MODES
from ..writer import Draft, Part, control, header, image_headers, in_migration, record, sized, unknown
from ..writer.builders import XML, configuration, in_libvirt, in_xapi, in_xl, xenops_of
from . import legacy, qemu, qemu_multifd, records
from .images import LATER, Plan, contents, machines, ordered
from .sample import Sample
from .values import any_layer

Guest = Literal["hvm", "pv"]

GUESTS: tuple[Guest, ...] = ("hvm", "pv")
VERSIONS = tuple(sorted(libxc.VERSIONS, reverse=True))
# Stands for that of a legacy stream, which has none, in a file that may hold either: those that ask for nothing in it.
OLD = 0
# What a stream can be declared to be: plain first, then checkpointed, by Remus or by COLO.
MODES = ALL_MODES[1:]


def streams(
    form: Form | None = None,
    guest: Guest | None = None,
    version: int | None = None,
    mode: Mode | None = None,
    big: bool = False,
    unknown: bool = False,
) -> st.SearchStrategy[Sample]:
    """Conforming streams: verification finds nothing but notes.

    :param form: the outermost layer, as for :func:`streamfmt.verify`; None or "auto" draws one.
    :param guest: "hvm" or "pv"; None draws one, and so for the other arguments.
    :param version: of the libxc image, 3 or 2; with None, files of xl, libvirt and XAPI may have a legacy stream.
    :param mode: "plain", "remus" or "colo".
    :param big: generate many frames, records and vcpus.
    :param unknown: include optional records of unknown types.
    :returns: a strategy for :class:`Sample`.
    :raises ValueError: the combination does not exist, such as COLO of a PV guest.

    >>> from hypothesis import find
    >>> find(streams("libxl", guest="pv", mode="remus"), lambda _: True)
    <Sample libxl, remus:
      libxl.header(options.legacy=0)
      libxl.LIBXC_CONTEXT()
      libxc.image_header(version=3)
      libxc.domain_header(type=1, xen_major=4, xen_minor=17)
      libxc.X86_PV_INFO(guest_width=8, pt_levels=4)
      libxc.X86_CPUID_POLICY(leaves=[{leaf: 0, subleaf: 4294967295, eax: 1, ebx: 1, ecx: 1, edx: 1}])
      libxc.X86_MSR_POLICY(msrs=[{index: 206, value: 0}])
      libxc.STATIC_DATA_END()
      libxc.X86_PV_P2M_FRAMES(start_pfn=0, end_pfn=2, frames=[1])
      libxc.PAGE_DATA(0 NOTAB, 1 NOTAB, 2 L4TAB)
      libxc.X86_TSC_INFO(mode=0, khz=0, nsec=0, incarnation=0)
      libxc.SHARED_INFO(page=<4096 zeros>)
      libxc.X86_PV_VCPU_BASIC(vcpu_id=0, context=<5168 bytes>)
      libxc.CHECKPOINT()
      libxl.CHECKPOINT_END()>
    """
    return made(
        () if form in (None, "auto") else (form,),
        GUESTS if guest is None else (guest,),
        (*VERSIONS, OLD) if version is None else (version,),
        MODES if mode in (None, "auto") else (mode,),
        big=big,
        unknown=unknown,
    )


def made(
    forms: Collection[str] = (),
    guests: Collection[str] = GUESTS,
    versions: Collection[int] = VERSIONS,
    modes: Collection[str] = MODES,
    *,
    having: Collection[str] = (),
    **wanted: Any,
) -> st.SearchStrategy[Sample]:
    """Streams of one of the plans that there are for these choices; see `Plan` for what else is `wanted`.

    They are of those that allow the records of `having`, as far as there are any.
    """
    plans = [
        Plan(form, guest, version, mode, width=width, **wanted)
        for form, mode, guest, version in product(SHAPES, MODES, GUESTS, (*VERSIONS, OLD))
        for width in sorted(libxc.VCPU_CONTEXT_SIZES, reverse=True)
        if form in (forms or SHAPES) and mode in modes and guest in guests and version in versions
        # COLO is for HVM guests, which have no width.
        if mode in SHAPES[form].modes and (guest == "pv" or width == 8) and (mode != "colo" or guest == "hvm")
        if version != OLD or SHAPES[form].old is not None
    ]
    if not plans:
        asked = [", ".join(map(str, given)) for given in (forms, guests, versions, modes)]
        raise ValueError("there is no stream of form {}, guest {}, version {} and mode {} at once".format(*asked))
    for path in having:
        plans = [plan for plan in plans if plan.allows(path)] or plans
    # First the form, then the guest, so that those of which there are few kinds come as often as the others.
    tree: dict[str, dict[str, list[Plan]]] = {}
    for plan in plans:
        tree.setdefault(plan.form, {}).setdefault(plan.guest, []).append(plan)
    guests_of = [list(found.values()) for found in tree.values()]
    return st.sampled_from(guests_of).flatmap(st.sampled_from).flatmap(st.sampled_from).flatmap(_sample)


def around(layer: str) -> tuple[str, ...]:
    """The forms in which breaches of a layer's clauses are tried."""
    return tuple(form for form, shape in SHAPES.items() if layer in (form, *shape.inner))


@st.composite
def _sample(draw: st.DrawFn, plan: Plan) -> Sample:
    form: Form = plan.form  # type: ignore[assignment] # plans are made of forms and modes
    mode: Mode = plan.mode  # type: ignore[assignment] # likewise
    deep = plan.guest in ("pv", "hvm") and draw(st.booleans())
    shape = SHAPES[form]
    make = shape.old if shape.old is not None and plan.version == OLD else shape.make
    return Sample(make(draw, plan), form, mode, deep)


def _any(draw: st.DrawFn, plan: Plan) -> Draft:
    """A stream of a layer of which no more is known than its row and its schema."""
    stream = draw(any_layer(plan.form, plan.need, lambda draw, form: draw(made((form,), modes=MODES[:1])).stream))
    assume(Sample(stream, plan.form).verify().conforms)  # type: ignore[arg-type] # plans are made of forms
    return stream


def _libvirt(draw: st.DrawFn, plan: Plan) -> Draft:
    xml = draw(st.sampled_from((XML, b"<domain/>\0", b"<?xml version='1.0'?>\n<domain/>\0")))
    return in_libvirt(walked(draw, plan, "libxl"), xml)


def _migration(draw: st.DrawFn, plan: Plan) -> Draft:
    stream = _xl(draw, plan)
    if plan.mode == "plain":
        return in_migration(stream, _status(draw, plan))
    # A checkpointed stream has no handshake after it.
    return Draft((header("xl-migrate.header"), *stream))


def _status(draw: st.DrawFn, plan: Plan) -> int:
    failed = not plan.clean and draw(st.booleans())
    return draw(st.integers(1, 255)) if failed or "xl-migrate.GIVE_BACK" in plan.need else 0


# -- libxc and libxl ------------------------------------------------------------------------------------------

_RELEASES = ((4, 17), (4, 6), (4, 14), (4, 21), (0, 1))
_CHECKPOINTS_MAX = 3
_EMULATOR = tuple(f"libxl.{name}" for name in states.EMULATOR)


def walked(draw: st.DrawFn, plan: Plan, form: Literal["libxl", "libxc"]) -> Draft:
    """A libxl stream or a bare image: its machines from where they begin to where they may stop, by any way.

    What a state of the machine that says whose turn it is lets come again and again is drawn as a whole.
    """
    rows = machines(form, plan.guest, plan.version, plan.clean)
    now = {row: row.begins(plan.mode) for row in rows}
    headers = image_headers(plan.guest, plan.version, draw(st.sampled_from(_RELEASES)))
    parts = [*headers] if ROWS[form].image else [header("libxl.header", **{"options.legacy": 0})]
    image = contents(draw, plan)
    least = 0 if plan.mode == "plain" else 1 + (LATER in plan.need)
    left = draw(st.integers(least, _CHECKPOINTS_MAX)) if least else 1
    while True:
        loops = _loops(rows[0], now[rows[0]])
        filling: Sequence[Part] = ()
        if f"libxc.{ANY}" in loops:
            filling = next(image)
            left -= 1
        elif any(path in _EMULATOR for path in loops):
            filling = _libxl_tail(draw, plan)
        for part in filling:
            now = _after(now, part.kind)
            assert now, f"{part.kind} has no place there"
        parts += filling
        path = draw(st.sampled_from(_ways(now, left, least)))
        if not path:
            return Draft(tuple(parts))
        now = _after(now, path)
        least -= path == "libxc.CHECKPOINT"
        if not path.endswith(ANY):
            parts.append(control(libxl.CHECKPOINT_STATES["NEW"]) if path == "libxl.CHECKPOINT_STATE" else record(path))
        if path == "libxl.LIBXC_CONTEXT":
            parts += headers


def _loops(row: Machine, state: str) -> list[str]:
    """Records that leave the machine where it is."""
    return [path for path, after in row.rows()[state].items() if after == state]


def _after(states: Mapping[Machine, str], path: str) -> dict[Machine, str]:
    """The states after that record; none if it must not come there."""
    then = {row: row.step(state, path) for row, state in states.items()}
    found = {row: state for row, state in then.items() if state is not None}
    return found if len(found) == len(then) else {}


def _ways(states: Mapping[Machine, str], left: int, least: int) -> list[str]:
    """What may come next, "" for nothing, the shortest way first.

    With checkpoints `left` to be begun, or `least` of them to be completed, the stream does not end.
    """
    lead, now = next(iter(states.items()))
    few = left > 0 or least > 0
    ways = [""] if not few and all(state in row.stops for row, state in states.items()) else []
    for path, after in lead.rows()[now].items():
        more = path.endswith(ANY) or path == "libxl.CHECKPOINT_STATE"
        if after != now and not (few and path == "libxc.END") and not (more and not left) and _after(states, path):
            ways.append(path)
    return ways


def _libxl_tail(draw: st.DrawFn, plan: Plan) -> tuple[Part, ...]:
    """What libxl puts after an image or a checkpoint; an emulator is there in every checkpoint of COLO."""
    found = []
    if plan.guest == "hvm":
        if plan.wants(draw, "libxl.EMULATOR_XENSTORE_DATA"):
            found.append(draw(records.emulator_xenstore()))
        if plan.mode == "colo" or plan.wants(draw, "libxl.EMULATOR_CONTEXT"):
            found.append(draw(records.emulator_context()))
    if plan.unknown:
        found.append(unknown("libxl", ROWS["libxl"].optional | draw(st.integers(0, 0xFF)), draw(st.binary(max_size=9))))
    return ordered(draw, found, plan)


def _back_channel(draw: st.DrawFn, plan: Plan) -> Draft:
    """What a COLO secondary sends, recorded from anywhere to anywhere, between two records."""
    row = protocol.BACK_CHANNEL
    state = row.start
    parts = []
    for _ in range(draw(st.integers(1, 12))):
        moves = [(name, after) for name, after in row.rows()[state].items() if after is not None]
        path, state = draw(st.sampled_from(moves))
        name = path.partition(" ")[2]
        parts.append(control(libxl.CHECKPOINT_STATES[name]) if name else draw(records.dirty_list()))
    return Draft(tuple(parts))


# -- containers -----------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)


def _xl(draw: st.DrawFn, plan: Plan) -> Draft:
    """An xl save file; the stream of a guest that its configuration says is HVM has the state of a device model."""
    described = draw(st.booleans())
    if described and plan.guest == "hvm":
        plan = replace(plan, need=(*plan.need, _EMULATOR[-1]))
    stream = walked(draw, plan, "libxl")
    config = configuration(stream) if described else draw(_TEXT.map(lambda text: b"{%s}\0" % text.encode()))
    return in_xl(stream, config)


_WORD = st.binary(max_size=9)


def _in_xapi(draw: st.DrawFn, plan: Plan) -> Draft:
    """A XAPI suspend image; records after the memory are those of HVM guests, a TPM's after the firmware's."""
    rest = []
    if plan.guest == "hvm":
        tpm = "xapi.SWTPM" in plan.need
        if tpm or plan.wants(draw, "xapi.VARSTORED"):
            rest.append(sized("VARSTORED", draw(_WORD)))
            texts = draw(st.lists(_WORD, min_size=int(tpm), max_size=2))
            rest += [sized("SWTPM", b64encode(text)) for text in texts]
        if plan.wants(draw, "xapi.QEMU_TRAD"):
            rest.append(sized("QEMU_TRAD", draw(records.qemu_records)))
    shortest = b"((time 20240301T09:30:00Z)(word_size 64))"
    image = walked(draw, plan, "libxc")
    return in_xapi(image, *rest, xenops=draw(st.sampled_from((shortest, xenops_of(image)))))


class Shape(NamedTuple):
    """How streams of a form are made, their modes, and the layers in it, beside its own, whose breaches are tried.

    `old` makes those with a legacy stream inside, if there are others.
    """

    make: Callable[[st.DrawFn, Plan], Draft] = _any
    modes: tuple[str, ...] = MODES[:1]
    inner: tuple[str, ...] = ()
    old: Callable[[st.DrawFn, Plan], Draft] | None = None


# The smallest form first: examples shrink towards it.
SHAPES: dict[str, Shape] = {
    "libxc": Shape(partial(walked, form="libxc"), MODES[:2]),
    "libxl": Shape(partial(walked, form="libxl"), MODES, ROWS["libxl"].holds),
    "xl": Shape(_xl, MODES[:2], ROWS["xl"].holds, legacy.in_xl),
    "back-channel": Shape(_back_channel, MODES[2:], ROWS["back-channel"].holds),
    "libvirt": Shape(_libvirt, old=legacy.in_libvirt),
    "xapi": Shape(_in_xapi, old=legacy.in_xapi),
    "xl-migrate": Shape(_migration, MODES[:2]),
    "xend": Shape(legacy.in_xend, inner=ROWS["xend"].holds),
    "xapi-legacy": Shape(legacy.in_xapi_legacy, inner=ROWS["xapi-legacy"].holds),
    "qemu": Shape(qemu.stream),
    "qemu-multifd": Shape(qemu_multifd.stream),
}
SHAPES |= {form: Shape(legacy.bare, MODES[:2]) for form in FORMS if ROWS[form].alias}
SHAPES |= {form: Shape() for form in FORMS if form not in SHAPES}
