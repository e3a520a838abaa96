#!/usr/bin/env python3
"""A second reader of Xen migration streams: does a stream keep the rules of its format?

It is small on purpose, needs nothing but Python, and shares nothing with streamfmt, so that whoever doubts one of the two can ask the other.
Read from the top it also tells the format: first the tables, then libxc (the guest), libxl (around it), COLO's back channel, and xl's file (around libxl).
A rule counts if a writer must keep it and readers need not put up with its breach; reserved bits, padding and repeats are let pass.

  example: python second.py guest.sav                       a file of `xl save`
           python second.py --mode colo captured.bin.gz     COLO is agreed outside the stream, so say it
           xl-capture | python second.py --as back-channel -
"""

from __future__ import annotations

import argparse
import gzip
import re
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from struct import unpack_from

Errors = Generator[
    tuple[int, str], None, int
]  # yields (offset, why) for each broken rule, returns where the layer ends
Faults = Iterator[tuple[int, str]]  # the same of one record

XL = b"Xen saved domain, xl format\n \0 \r"
LIBXL = b"LibxlFmt"
LIBXC = b"\xff" * 8 + b"XENF"
MODES = "auto", "plain", "remus", "colo"
OPTIONAL = 1 << 31  # types from here on may be skipped by who does not know them
PAGE = 4096
MIB = 1 << 20
ANY = 128 * MIB  # no libxc record is longer

# libxc records. Lengths: the body has `least` octets, or more in steps of `step` up to `most`.
#     name, guests, first version, part of the image, least, step, most
RECORDS: dict[int, tuple[str, str, int, str, int, int, int]] = {
    0x00: ("END", "PV HVM", 2, "end", 0, 1, 0),
    0x01: ("PAGE_DATA", "PV HVM", 2, "memory", 16, 8, ANY),
    0x02: ("X86_PV_INFO", "PV", 2, "static", 8, 1, 8),
    0x03: ("X86_PV_P2M_FRAMES", "PV", 2, "start", 16, 8, ANY),
    0x04: (
        "X86_PV_VCPU_BASIC",
        "PV",
        2,
        "tail",
        8 + 0xAF0,
        0x1430 - 0xAF0,
        8 + 0x1430,
    ),  # of a 32-bit or a 64-bit guest
    0x05: ("X86_PV_VCPU_EXTENDED", "PV", 2, "tail", 8, 1, 8 + 128),
    0x06: ("X86_PV_VCPU_XSAVE", "PV", 2, "tail", 8, 1, ANY),
    0x07: ("SHARED_INFO", "PV", 2, "tail", PAGE, 1, PAGE),
    0x08: ("X86_TSC_INFO", "PV HVM", 2, "tail", 24, 1, 24),
    0x09: ("HVM_CONTEXT", "HVM", 2, "tail", 1, 1, ANY),
    0x0A: ("HVM_PARAMS", "HVM", 2, "tail", 8, 16, ANY),
    0x0C: ("X86_PV_VCPU_MSRS", "PV", 2, "tail", 8, 16, ANY),
    0x0D: ("VERIFY", "PV HVM", 2, "memory", 0, 1, 0),
    0x0E: ("CHECKPOINT", "PV HVM", 2, "end", 0, 1, 0),
    0x10: ("STATIC_DATA_END", "PV HVM", 3, "static", 0, 1, 0),
    0x11: ("X86_CPUID_POLICY", "PV HVM", 3, "static", 24, 24, ANY),
    0x12: ("X86_MSR_POLICY", "PV HVM", 3, "static", 16, 16, ANY),
}
END, PAGE_DATA, PV_INFO, P2M_FRAMES, BASIC, EXTENDED, XSAVE, SHARED_INFO = range(8)
HVM_CONTEXT, HVM_PARAMS, VERIFY, CHECKPOINT, DIRTY_PFN_LIST, STATIC_DATA_END, _, MSR_POLICY = 9, 10, *range(13, 19)
HVM_PARAMETERS = 39  # indices 0 to 38

# The four uppermost bits of a PAGE_DATA entry; types 5 to 8 are reserved.
NOTAB, BROKEN, XALLOC, XTAB = 0, 0xD, 0xE, 0xF
WITHOUT_CONTENT = {BROKEN, XALLOC, XTAB}
UNPOPULATED = {BROKEN, XTAB}

# libxl records.
L_END, L_LIBXC_CONTEXT, L_XENSTORE, L_EMULATOR, L_CHECKPOINT_END, L_CHECKPOINT_STATE = range(6)
NEW, SUSPENDED, READY, RESUMED = range(4)  # what CHECKPOINT_STATE says


@dataclass
class Image:
    """What is known of the guest so far."""

    mode: str  # grows from "auto" to what the stream shows
    order: str = "<"  # of domain header and records
    version: int = 0
    hvm: bool = False
    width: int = 0  # octets in a word of a PV guest
    last_pfn: int = -1
    pages: dict[int, int] = field(default_factory=dict)  # of a PV guest: frame number to type
    p2m: dict[int, tuple[int, int]] = field(
        default_factory=dict
    )  # which part of the p2m: its frame, and where that is said
    seen: set[int] = field(default_factory=set)  # types of static records, and of those since the last checkpoint
    checkpoints: int = 0  # complete ones: a guest can be resumed from the last
    ended: bool = False  # by libxc's END


def take(octets: bytes, at: int, size: int) -> bytes:
    """Octets that must be there. A length is a claim, so nothing is allocated by it."""
    if at + size > len(octets):
        raise EOFError(at)
    return octets[at : at + size]


def header(octets: bytes, at: int, order: str) -> tuple[int, int]:
    """Every record, libxl's and libxc's: type, length, body, and padding to a multiple of 8."""
    kind, length = unpack_from(order + "II", take(octets, at, 8))
    return kind, length


def content(octets: bytes, at: int, length: int) -> tuple[bytes, int]:
    """Body of the record at this offset, and where the next one starts."""
    padded = -length // 8 * -8
    return take(octets, at + 8, padded)[:length], at + 8 + padded


# libxc: the guest itself.


def image_headers(octets: bytes, at: int, image: Image) -> Errors:
    """Image header, big-endian whatever follows, and domain header."""
    marker_and_id, image.version, options = unpack_from(">12sIH", take(octets, at, 24))
    image.order = ">" if options & 1 else "<"
    if marker_and_id != LIBXC:
        yield at, "no libxc image: its marker or id is missing"
        raise EOFError(at)
    if image.version not in {2, 3}:
        yield at + 12, f"version {image.version} of the libxc image is neither 2 nor 3"
        raise EOFError(at)
    if options & 1:
        yield at + 16, "the libxc image says it is big-endian, which no guest is"
    guest, shift = unpack_from(image.order + "IH", take(octets, at + 24, 16))
    if guest not in {1, 2}:
        yield at + 24, f"guest type {guest} is neither 1 (PV) nor 2 (HVM)"
        raise EOFError(at)
    if shift != 12:
        yield at + 28, f"page_shift is {shift}, not 12"
    image.hvm = guest == 2
    if not image.hvm and image.mode == "colo":
        yield at + 24, "COLO is for HVM guests"
    return at + 40


def image_records(octets: bytes, at: int, image: Image) -> Errors:
    """Records up to the next CHECKPOINT or END, that one included."""
    if image.checkpoints:
        image.seen &= {PV_INFO, P2M_FRAMES, STATIC_DATA_END}
    while True:
        kind, length = header(octets, at, image.order)
        if length > ANY:
            yield at + 4, f"a record of {length} octets is longer than 128 MiB"
        known = RECORDS.get(kind)
        if known is None and kind < OPTIONAL:
            yield at, f"type {kind:#x} is not one of this format, or not of this direction"
        body, after = content(octets, at, length)
        if known is not None:
            name, guests, since, part, least, step, most = known
            if ("HVM" if image.hvm else "PV") not in guests.split():
                yield at, f"{name} in an image of the other kind of guest"
            if image.version < since:
                yield at, f"{name} in an image of version {image.version}"
            if not least <= length <= most or (length - least) % step:
                yield at + 4, f"{name} cannot have {length} octets"
            else:
                yield from order(kind, name, part, at, image)
                if kind in BODIES:
                    yield from BODIES[kind](body, at + 8, image)
            image.seen.add(kind)
        at = after
        if kind in {CHECKPOINT, END}:
            image.ended = kind == END
            return at


def order(kind: int, name: str, part: str, at: int, image: Image) -> Faults:
    """What must have come before a record: static data, STATIC_DATA_END (version 3), p2m (PV), memory and tail in any order."""
    seen = image.seen
    if image.checkpoints and part in {"static", "start"}:
        yield at, f"{name} after the first checkpoint"
    elif part == "static" and STATIC_DATA_END in seen:
        yield at, f"{name} after STATIC_DATA_END"
    elif part != "static" and image.version == 3 and STATIC_DATA_END not in seen:
        yield at, f"{name} before STATIC_DATA_END"
    if kind == PV_INFO and PV_INFO in seen:
        yield at, "a second X86_PV_INFO"
    if kind in {P2M_FRAMES, SHARED_INFO} and PV_INFO not in seen:
        yield at, f"{name} before X86_PV_INFO"
    if kind == PAGE_DATA and not image.hvm and P2M_FRAMES not in seen:
        yield at, "PAGE_DATA of a PV guest before X86_PV_P2M_FRAMES"
    if kind == VERIFY and (image.mode in {"remus", "colo"} or image.checkpoints):
        yield at, "VERIFY in a checkpointed image"
    if kind == CHECKPOINT and (image.mode == "plain" or VERIFY in seen):
        yield at, "CHECKPOINT in an image that is not checkpointed"
    if kind == CHECKPOINT or (kind == END and not image.checkpoints):
        yield from complete(at, image)


def complete(at: int, image: Image) -> Faults:
    """What a guest cannot be without, at the end of a plain image and at each checkpoint."""
    if image.hvm:
        if HVM_CONTEXT not in image.seen:
            yield at, "no HVM_CONTEXT"
        return
    if BASIC not in image.seen:
        yield at, "no X86_PV_VCPU_BASIC of vcpu 0"
    for frame, said_at in image.p2m.values():
        if frame > image.last_pfn or image.pages.get(frame) != NOTAB:
            yield said_at, f"frame {frame:#x} of the p2m is not an ordinary page of the guest"


# Bodies of libxc records, whose length fits already.


def page_data(body: bytes, at: int, image: Image) -> Faults:
    """A count, that many entries (type and frame number), and the pages of those that have content."""
    (count,) = unpack_from(image.order + "I", body)
    if count == 0 or 8 + 8 * count > len(body):
        yield at, f"{count} entries in PAGE_DATA of {len(body)} octets"
        return
    pages = 0
    for index, entry in enumerate(unpack_from(f"{image.order}{count}Q", body, 8)):
        kind, pfn = entry >> 60, entry & (1 << 52) - 1
        pages += kind not in WITHOUT_CONTENT
        if 5 <= kind <= 8:
            yield at + 8 + 8 * index, f"page type {kind} is reserved"
        if not image.hvm:
            image.pages[pfn] = kind
            if pfn > image.last_pfn and P2M_FRAMES in image.seen:
                yield at + 8 + 8 * index, f"frame {pfn:#x} is beyond the guest's last, {image.last_pfn:#x}"
    if 8 + 8 * count + PAGE * pages != len(body):
        yield at, f"{count} entries and {pages} pages do not fill {len(body)} octets"


def pv_info(body: bytes, at: int, image: Image) -> Faults:
    """Width of a word and levels of page tables."""
    image.width, levels = body[0], body[1]
    if (image.width, levels) not in {(4, 3), (8, 4)}:
        yield at, f"no guest has words of {image.width} octets and {levels} levels of page tables"
        image.width = 0


def p2m_frames(body: bytes, at: int, image: Image) -> Faults:
    """First and last frame number described, and the frames that hold the guest's own table of them."""
    start, end, *frames = unpack_from(f"{image.order}II{len(body) // 8 - 1}Q", body)
    if start > end:
        yield at, f"the p2m starts at {start:#x}, after its end {end:#x}"
    elif image.width:
        words = PAGE // image.width
        if len(frames) != end // words - start // words + 1:
            yield at, f"{len(frames)} frames for the p2m of {start:#x} to {end:#x}"
        image.p2m.update({start // words + k: (frame, at + 8 + 8 * k) for k, frame in enumerate(frames)})
    image.last_pfn = max(image.last_pfn, end)


def vcpu_basic(body: bytes, at: int, image: Image) -> Faults:
    """Registers, in the layout of a 32-bit or a 64-bit guest."""
    if image.width and len(body) != 8 + (0x1430 if image.width == 8 else 0xAF0):
        yield at, f"{len(body)} octets are of the other width of guest"
    if unpack_from(image.order + "I", body)[0]:
        image.seen.discard(BASIC)


def vcpu_xsave(body: bytes, at: int, image: Image) -> Faults:
    """Two masks at least, then the state; Xen 4.6 to 4.8 wrote records without content, which readers accept."""
    if 8 < len(body) < 8 + 16:
        yield at, f"{len(body) - 8} octets of XSAVE state are less than its two masks"


def hvm_context(body: bytes, at: int, image: Image) -> Faults:
    """Entries of Xen's hypervisor, each with type, instance and length: a header first, END last, no gaps."""
    here, first = 0, True
    while here + 8 <= len(body):
        kind, instance, length = unpack_from(image.order + "HHI", body, here)
        if first and (kind, instance, length) != (1, 0, 24):
            yield at, "the HVM context does not begin with its header"
        if kind == 0:
            break
        if kind > 20:
            yield at + here, f"type {kind} in an HVM context is unknown"
        here, first = here + 8 + length, False
    if here + 8 > len(body):
        yield at + min(here, len(body)), "the HVM context has no END"
    elif here + 8 + length < len(body):
        yield at + here + 8, "octets behind the END of the HVM context"


def hvm_params(body: bytes, at: int, image: Image) -> Faults:
    """A count, and that many pairs of index and value; Xen 4.6 to 4.8 wrote records without any, which readers accept."""
    (count,) = unpack_from(image.order + "I", body)
    if 8 + 16 * count != len(body):
        yield at, f"{count} parameters in {len(body)} octets"
    for here in range(8, len(body), 16):
        (index,) = unpack_from(image.order + "Q", body, here)
        if index >= HVM_PARAMETERS:
            yield at + here, f"there is no HVM parameter {index}"


def msr_policy(body: bytes, at: int, image: Image) -> Faults:
    """Index, flags that are 0, value."""
    for here in range(0, len(body), 16):
        if unpack_from(image.order + "I", body, here + 4)[0]:
            yield at + here + 4, "flags of an MSR in the policy"


BODIES: dict[int, Callable[[bytes, int, Image], Faults]] = {
    PAGE_DATA: page_data,
    PV_INFO: pv_info,
    P2M_FRAMES: p2m_frames,
    BASIC: vcpu_basic,
    XSAVE: vcpu_xsave,
    HVM_CONTEXT: hvm_context,
    HVM_PARAMS: hvm_params,
    MSR_POLICY: msr_policy,
}


def bare_libxc(octets: bytes, at: int, image: Image) -> Errors:
    """A libxc image alone, its checkpoints one after another."""
    at = yield from image_headers(octets, at, image)
    while not image.ended:
        at = yield from image_records(octets, at, image)
        image.checkpoints += not image.ended
    return at


# libxl: a libxc image, and the device model's state behind it or behind each checkpoint.


def libxl(octets: bytes, at: int, image: Image) -> Errors:
    """Header, big-endian whatever follows, and records."""
    ident, version, options = unpack_from(">8sII", take(octets, at, 16))
    order = ">" if options & 1 else "<"
    if ident != LIBXL or version != 2:
        yield at, "no libxl stream of version 2"
        raise EOFError(at)
    if options & 1:
        yield at + 12, "the libxl stream says it is big-endian, which no guest is"
    converted = bool(options & 2)  # from the format before version 2
    at += 16
    started = emulated = in_checkpoint = False
    while True:
        kind, length = header(octets, at, order)
        body, after = content(octets, at, length)
        if kind in {L_END, L_LIBXC_CONTEXT, L_CHECKPOINT_END} and length:
            yield at + 4, f"a record of type {kind} has no content"
        if not started and kind not in {L_LIBXC_CONTEXT, *range(OPTIONAL, 2 * OPTIONAL)}:
            yield at, "the first record is not LIBXC_CONTEXT"
        if kind == L_END:
            if in_checkpoint:
                yield at, "END inside a checkpoint"
            return after
        if kind in {L_XENSTORE, L_EMULATOR}:
            yield from emulator(kind, body, at, order, converted)
            if started and not image.hvm:
                yield at, "a PV guest has no device model"
            emulated |= kind == L_EMULATOR
        elif kind == L_LIBXC_CONTEXT:
            if started:
                yield at, "a second LIBXC_CONTEXT"
                raise EOFError(at)
            started = True
            after = yield from image_headers(octets, after, image)
            after = yield from image_records(octets, after, image)
            in_checkpoint, emulated = not image.ended, False
        elif kind == L_CHECKPOINT_END:
            if not in_checkpoint:
                yield at, "CHECKPOINT_END outside a checkpoint"
                raise EOFError(at)
            image.checkpoints += 1
            after = yield from announced(octets, after, image, order)
            after = yield from image_records(octets, after, image)
            in_checkpoint, emulated = not image.ended, False
        elif kind == L_CHECKPOINT_STATE:
            yield at, "CHECKPOINT_STATE is not between two checkpoints"
        elif kind < OPTIONAL:
            yield at, f"type {kind:#x} is not one of this format"
        at = after


def announced(octets: bytes, at: int, image: Image, order: str) -> Errors:
    """COLO's primary says NEW before each checkpoint but the first, for libxl; under Remus libxc goes on at once.

    Type 5 shows which, for what libxc means by 5 no HVM guest has.
    """
    kind, length = header(octets, at, order)
    if image.mode == "auto" and image.hvm:
        image.mode = "colo" if kind == L_CHECKPOINT_STATE else "remus"
    if image.mode != "colo":
        return at
    if kind != L_CHECKPOINT_STATE:
        yield at, "no CHECKPOINT_STATE announces this checkpoint of COLO"
        return at
    body, after = content(octets, at, length)
    if length != 4:
        yield at + 4, f"CHECKPOINT_STATE has 4 octets, not {length}"
    elif (state := unpack_from(order + "I", body)[0]) != NEW:
        yield at + 8, f"the state is {state}, not {NEW} (NEW)"
    return after


def emulator(kind: int, body: bytes, at: int, order: str, converted: bool) -> Faults:
    """Which device model, and its state: opaque, or pairs of xenstore key and value, each ended by NUL."""
    if len(body) < 8:
        yield at + 4, f"{len(body)} octets do not hold an emulator's header"
        return
    (emulator_id,) = unpack_from(order + "I", body)
    if emulator_id > 2 or (emulator_id == 0 and not converted):
        yield at + 8, f"emulator {emulator_id} is neither 1 (qemu-traditional) nor 2 (qemu)"
    *texts, rest = body[8:].split(b"\0")
    if kind == L_XENSTORE:
        if rest or len(texts) % 2:
            yield at + 16, "xenstore data is not pairs of key and value that NUL ends"
        if not all(re.fullmatch(rb"[-A-Za-z0-9_@][-A-Za-z0-9/_@]*", key) for key in texts[::2]):
            yield at + 16, "xenstore does not allow such a key"
        if not all(re.fullmatch(rb"[ -~]*", value) for value in texts[1::2]):
            yield at + 16, "xenstore does not allow such a value"


def back_channel(octets: bytes, at: int, image: Image) -> Errors:
    """What COLO's secondary answers: READY, RESUMED, and then SUSPENDED, dirty frames, READY, RESUMED for each checkpoint.

    It has no header, and stops when the secondary is gone.
    """
    if image.mode in {"plain", "remus"}:
        yield at, "only COLO has a back channel"
    expected = [READY, RESUMED]
    while True:
        kind, length = header(octets, at, "<")
        if length > ANY and kind == DIRTY_PFN_LIST:
            yield at + 4, f"a record of {length} octets is longer than 128 MiB"
        if kind == L_CHECKPOINT_STATE and length != 4:
            yield at + 4, f"CHECKPOINT_STATE has 4 octets, not {length}"
        body, after = content(octets, at, length)
        awaited = expected.pop(0)
        if kind == L_CHECKPOINT_STATE and length == 4:
            (state,) = unpack_from("<I", body)
            if state != awaited:
                yield at + 8, f"the state is {state} and not {awaited}"
        elif kind == DIRTY_PFN_LIST:
            if awaited != DIRTY_PFN_LIST:
                yield at, "a list of dirty frames that does not follow SUSPENDED"
            if length % 8:
                yield at + 4, f"{length} octets are not whole frame numbers"
        elif kind < OPTIONAL:
            yield at, f"type {kind:#x} has no place on a back channel"
        if not expected:
            image.checkpoints += 1
            expected = [SUSPENDED, DIRTY_PFN_LIST, READY, RESUMED]
        at = after


# xl's file: a header, the guest's configuration, and a libxl stream.


def xl(octets: bytes, at: int, image: Image) -> Errors:
    """Magic, byte order, flags (1: the configuration is JSON, 2: the stream is libxl's), then the optional data."""
    magic, mark = take(octets, at, 36)[:32], octets[at + 32 : at + 36]
    order = ">" if mark == b"\1\2\3\4" else "<"
    flags, _, length = unpack_from(order + "III", take(octets, at + 36, 12))
    if magic != XL:
        yield at, "no file of xl"
        raise EOFError(at)
    if mark != b"\4\3\2\1":
        yield at + 32, "the file is not little-endian, which every guest is"
    if flags & ~3:
        yield at + 36, f"no reader knows the flags {flags:#x}"
    data = take(octets, at + 48, length)
    if length:
        config = unpack_from(order + "I", data)[0] if length >= 4 else length
        if config > length - 4:
            yield at + 44, f"a configuration of {config} octets does not fit {length} octets of optional data"
        elif config and flags & 1 and data[3 + config]:
            yield at + 51 + config, "no NUL ends the configuration"
    return (yield from libxl(octets, at + 48 + length, image))


FORMS: dict[str, Callable[[bytes, int, Image], Errors]] = {
    "xl": xl,
    "libxl": libxl,
    "libxc": bare_libxc,
    "back-channel": back_channel,
}
BEGINNINGS = {XL: "xl", LIBXL: "libxl", LIBXC: "libxc", b"\5\0\0\0\4\0\0\0": "back-channel"}


def errors(octets: bytes, form: str = "auto", mode: str = "auto") -> Iterator[tuple[int, str]]:
    """Offset and reason of each error; there may be more behind one that leaves unclear where the next record starts."""
    if form == "auto":
        form = next(form for begin, form in BEGINNINGS.items() if octets.startswith(begin))
    image = Image(mode)
    sound = True
    try:
        for error in FORMS[form](octets, 0, image):
            sound = False
            yield error
    except EOFError as cut:
        # Of a checkpointed stream the last complete checkpoint is good enough.
        if sound and not (image.checkpoints and image.mode != "plain"):
            yield cut.args[0], "the stream is cut short here"


def judge(octets: bytes, form: str = "auto", mode: str = "auto") -> tuple[str, int, str]:
    """ "accept", "reject" or "unknown", the offset where that shows, and the reason."""
    if form == "auto" and not octets.startswith(tuple(BEGINNINGS)):
        return "unknown", 0, "it begins as nothing that this reader knows"
    for offset, why in errors(octets, form, mode):
        return "reject", offset, why
    return "accept", len(octets), "no rule is broken"


def main() -> int:
    """Judge files: exit status 0 if all are accepted, 1 if one is not, 2 for wrong usage."""
    first, _, example = (__doc__ or "").partition("  example: ")
    parser = argparse.ArgumentParser(
        description=first, epilog="example: " + example, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--as", dest="form", choices=["auto", *FORMS], default="auto", help="what the input is")
    parser.add_argument("--mode", choices=MODES, default="auto", help="what the sender was asked for")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a stream, or - for standard input; .gz is opened")
    asked = parser.parse_args()
    status = 0
    for name in asked.files:
        try:
            with (
                sys.stdin.buffer
                if name == "-"
                else gzip.open(name)
                if name.endswith(".gz")
                else open(name, "rb") as file
            ):
                verdict, offset, why = judge(file.read(), asked.form, asked.mode)
        except (OSError, EOFError) as unread:
            verdict, offset, why = "unknown", 0, f"it cannot be read: {unread}"
        print(f"{name}: {verdict} at {offset}: {why}")
        status |= verdict != "accept"
    return status


if __name__ == "__main__":
    sys.exit(main())
