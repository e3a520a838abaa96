"""Conforming streams of every form, around the images of `images`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection
from itertools import product
from typing import Literal

from hypothesis import strategies as st

from ..api import Form, Mode
from ..reader.registry import ROWS
from ..recipes.samples import CONFIGURATION, XENOPS, XML, in_libvirt, in_xapi, in_xl
from ..schema import libxc, libxl, qemu, states
from ..writer import Draft, Part, control, header, in_migration, record, sized, unknown
from . import records
from .images import Image, Plan, image, ordered
from .sample import Sample

Guest = Literal["hvm", "pv"]

# What each form can be, the smallest form first: examples shrink towards it.
MODES: dict[Form, tuple[Mode, ...]] = {
    "libxc": ("plain", "remus"),
    "libxl": ("plain", "remus", "colo"),
    "xl": ("plain", "remus"),
    "back-channel": ("colo",),
    "libvirt": ("plain",),
    "xapi": ("plain",),
    "xl-migrate": ("plain", "remus"),
}
GUESTS: tuple[Guest, ...] = ("hvm", "pv")
VERSIONS = tuple(sorted(libxc.VERSIONS, reverse=True))


def streams(
    form: Form | None = None,
    guest: Guest | None = None,
    version: int | None = None,
    mode: Mode | None = None,
    big: bool = False,
    unknown: bool = False,
) -> st.SearchStrategy[Sample]:
    """Streams that conform: nothing but notes can be told of them.

    What is not given is drawn; "auto" is for either a form or a mode as if it were not.  `big` streams have many
    frames, records and vcpus; with `unknown` there are optional records that nobody knows.  Raises ValueError for a
    combination that does not exist, such as COLO of a PV guest.

    >>> from hypothesis import find
    >>> find(streams("libxl", guest="pv", mode="remus"), lambda _: True)
    <Sample libxl, remus:
      libxl.header(options.legacy=0)
      libxl.LIBXC_CONTEXT()
      libxc.image_header(version=3)
      libxc.domain_header(type=1, xen_major=4, xen_minor=17)
      libxc.X86_PV_INFO(guest_width=8, pt_levels=4)
      libxc.STATIC_DATA_END()
      libxc.X86_PV_P2M_FRAMES(start_pfn=0, end_pfn=2, frames=[1])
      libxc.PAGE_DATA(0 NOTAB, 1 NOTAB, 2 L4TAB)
      libxc.X86_TSC_INFO(mode=0, khz=0, nsec=0, incarnation=0)
      libxc.X86_PV_VCPU_BASIC(vcpu_id=0, context=<5168 bytes>)
      libxc.CHECKPOINT()
      libxl.CHECKPOINT_END()>
    """
    return made(
        forms=MODES if form in (None, "auto") else (form,),
        guests=GUESTS if guest is None else (guest,),
        versions=VERSIONS if version is None else (version,),
        modes=("plain", "remus", "colo") if mode in (None, "auto") else (mode,),
        big=big,
        unknown=unknown,
    )


def made(
    forms: Collection[str] = tuple(MODES),
    guests: Collection[str] = GUESTS,
    versions: Collection[int] = VERSIONS,
    modes: Collection[str] = ("plain", "remus", "colo"),
    *,
    big: bool = False,
    unknown: bool = False,
    clean: bool = False,
    need: Collection[str] = (),
    blank: bool = False,
) -> st.SearchStrategy[Sample]:
    """Streams of one of the plans that there are for these choices; see `Plan` for the rest."""
    plans = [
        Plan(form, guest, version, mode, big, unknown, clean, frozenset(need), width, blank)
        for form, mode, guest, version in product(MODES, ("plain", "remus", "colo"), GUESTS, VERSIONS)
        for width in sorted(libxc.VCPU_CONTEXT_SIZES, reverse=True)
        if form in forms and mode in modes and guest in guests and version in versions
        # COLO is for HVM guests, which have no width.
        if mode in MODES[form] and (guest == "pv" or width == 8) and (mode != "colo" or guest == "hvm")
    ]
    if not plans:
        told = [", ".join(map(str, given)) for given in (forms, guests, versions, modes)]
        raise ValueError("there is no stream of form {}, guest {}, version {} and mode {} at once".format(*told))
    # First the form, then the guest, so that those of which there are few kinds come as often as the others.
    tree: dict[str, dict[str, list[Plan]]] = {}
    for plan in plans:
        tree.setdefault(plan.form, {}).setdefault(plan.guest, []).append(plan)
    guests_of = [list(found.values()) for found in tree.values()]
    return st.sampled_from(guests_of).flatmap(st.sampled_from).flatmap(st.sampled_from).flatmap(_sample)


@st.composite
def _sample(draw: st.DrawFn, plan: Plan) -> Sample:
    form: Form = plan.form  # type: ignore[assignment] # plans are made of forms and modes
    mode: Mode = plan.mode  # type: ignore[assignment] # likewise
    if form == "back-channel":
        return Sample(_back_channel(draw), form, mode)
    deep = plan.guest == "pv" and draw(st.booleans())
    inner = image(draw, plan)
    if form == "libxc":
        return Sample(_bare(draw, inner, plan), form, mode, deep)
    if form == "xapi":
        return Sample(_in_xapi(draw, inner, plan), form, mode, deep)
    stream = _wrapped(draw, inner, plan)
    if form == "libvirt":
        xml = draw(st.sampled_from((XML, b"<domain/>\0", b"<?xml version='1.0'?>\n<domain/>\0")))
        return Sample(in_libvirt(stream, xml), form, mode, deep)
    if form in ("xl", "xl-migrate"):
        stream = _in_xl(draw, stream, always=form == "xl-migrate")
    if form == "xl-migrate":
        # A checkpointed stream has no handshake behind it.
        greeted = Draft((header("xl-migrate.header"), *stream))
        stream = in_migration(stream, _status(draw, plan)) if mode == "plain" else greeted
    return Sample(stream, form, mode, deep)


def _status(draw: st.DrawFn, plan: Plan) -> int:
    failed = not plan.clean and draw(st.booleans())
    return draw(st.integers(1, 255)) if failed or "xl-migrate.GIVE_BACK" in plan.need else 0


# -- libxc and libxl ------------------------------------------------------------------------------------------

END = record("libxc.END")


def _bare(draw: st.DrawFn, inner: Image, plan: Plan) -> Draft:
    """An image alone.  One that is checkpointed may simply stop, which savers since 4.7 do."""
    if plan.mode == "plain":
        return Draft((*inner.headers, *inner.checkpoints[0], END))
    closing = (END,) if draw(st.booleans()) else ()
    parts = [part for parts in inner.checkpoints for part in (*parts, record("libxc.CHECKPOINT"))]
    return Draft((*inner.headers, *parts, *closing))


def _wrapped(draw: st.DrawFn, inner: Image, plan: Plan) -> Draft:
    """An image in a libxl stream."""
    parts = [header("libxl.header", **{"options.legacy": 0}), record("libxl.LIBXC_CONTEXT"), *inner.headers]
    if plan.mode == "plain":
        tail = _libxl_tail(draw, plan)
        return Draft((*parts, *inner.checkpoints[0], END, *tail, record("libxl.END")))
    for number, checkpoint in enumerate(inner.checkpoints):
        if number and plan.mode == "colo":
            parts.append(control(libxl.CHECKPOINT_STATES["NEW"]))
        parts += [*checkpoint, record("libxc.CHECKPOINT"), *_libxl_tail(draw, plan), record("libxl.CHECKPOINT_END")]
    if draw(st.booleans()):
        parts += [END, record("libxl.END")]
    return Draft(tuple(parts))


def _libxl_tail(draw: st.DrawFn, plan: Plan) -> tuple[Part, ...]:
    """What libxl puts behind an image or a checkpoint; an emulator is there in every checkpoint of COLO."""
    found = []
    if plan.guest == "hvm":
        if plan.wants(draw, "libxl.EMULATOR_XENSTORE_DATA"):
            found.append(draw(records.emulator_xenstore()))
        if plan.mode == "colo" or plan.wants(draw, "libxl.EMULATOR_CONTEXT"):
            found.append(draw(records.emulator_context()))
    if plan.unknown:
        found.append(unknown("libxl", ROWS["libxl"].optional | draw(st.integers(0, 0xFF)), draw(st.binary(max_size=9))))
    return ordered(draw, found, states.LIBXL_RULES, plan.guest, plan.version, plan.clean)


def _back_channel(draw: st.DrawFn) -> Draft:
    """What a COLO secondary sends, recorded from anywhere to anywhere, between two records."""
    names = states.BACK_CHANNEL
    first = draw(st.integers(0, len(names) - 1))
    parts = []
    for number in range(first, first + draw(st.integers(1, 12))):
        name = names[number % len(names)]
        if name in libxl.CHECKPOINT_STATES:
            parts.append(control(libxl.CHECKPOINT_STATES[name]))
        else:
            parts.append(draw(records.dirty_list()))
    return Draft(tuple(parts))


# -- containers -----------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)


def _in_xl(draw: st.DrawFn, stream: Draft, always: bool) -> Draft:
    """An xl save file, which may have no configuration unless it has to have one `always`."""
    if not always and draw(st.booleans()):
        return in_xl(stream, b"", json=0)
    known = st.sampled_from((b"{}\0", CONFIGURATION))
    return in_xl(stream, draw(known | _TEXT.map(lambda text: b"{%s}\0" % text.encode())))


_WORD = st.binary(max_size=9)


def _in_xapi(draw: st.DrawFn, inner: Image, plan: Plan) -> Draft:
    """A XAPI suspend image; records behind the memory are those of HVM guests, a TPM's behind the firmware's."""
    behind = []
    if plan.guest == "hvm":
        tpm = "xapi.SWTPM" in plan.need
        if tpm or plan.wants(draw, "xapi.VARSTORED"):
            behind.append(sized("VARSTORED", draw(_WORD)))
            texts = draw(st.lists(_WORD, min_size=int(tpm), max_size=2))
            behind += [sized("SWTPM", b64encode(text)) for text in texts]
        if plan.wants(draw, "xapi.QEMU_TRAD"):
            behind.append(sized("QEMU_TRAD", qemu.MAGIC + draw(_WORD)))
    bare = Draft((*inner.headers, *inner.checkpoints[0], END))
    shortest = b"((time 20240301T09:30:00Z)(word_size 64))"
    return in_xapi(bare, *behind, xenops=draw(st.sampled_from((shortest, XENOPS))))
