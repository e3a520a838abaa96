#!/usr/bin/env python3
"""A second reader of Xen migration streams: does a stream keep the rules of its format?

It is small on purpose, needs nothing but Python, and shares nothing with streamfmt,
so that whoever doubts one of the two can ask the other.
Read from the top it also tells the format: tables first, then libxc (the guest), libxl (around it),
COLO's back channel, and xl's file (around libxl).
A rule counts if a writer must keep it and readers need not put up with its breach;
reserved bits, padding, repeats and whatever follows END are let pass.

examples:
  python second.py guest.sav                      a file of `xl save`
  python second.py --mode colo captured.bin.gz    COLO is agreed outside the stream, so say it
  python second.py --as back-channel - <answers   what COLO's secondary said
"""

import argparse
import gzip
import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import iter_unpack, unpack_from

XL = b"Xen saved domain, xl format\n \0 \r"
LIBXL = b"LibxlFmt"
LIBXC = b"\xff" * 8 + b"XENF"
PAGE = 4096
LONGEST = 128 << 20  # octets in the body of a libxc record
OPTIONAL = 1 << 31  # who does not know a type may skip it from here on

# libxc records. The body has `least` octets, or more in steps of `step` up to `most`.
#     name, guests, first version, part of the image, least, step, most
RECORDS: dict[int, tuple[str, str, int, str, int, int, int]] = {
    0x00: ("END", "PV HVM", 2, "end", 0, 1, 0),
    0x01: ("PAGE_DATA", "PV HVM", 2, "memory", 16, 8, LONGEST),
    0x02: ("X86_PV_INFO", "PV", 2, "static", 8, 1, 8),
    0x03: ("X86_PV_P2M_FRAMES", "PV", 2, "start", 16, 8, LONGEST),
    0x04: ("X86_PV_VCPU_BASIC", "PV", 2, "vcpu", 8 + 0xAF0, 0x1430 - 0xAF0, 8 + 0x1430),
    0x05: ("X86_PV_VCPU_EXTENDED", "PV", 2, "vcpu", 8 + 1, 1, 8 + 128),
    0x06: ("X86_PV_VCPU_XSAVE", "PV", 2, "vcpu", 8 + 16, 1, LONGEST),
    0x07: ("SHARED_INFO", "PV", 2, "tail", PAGE, 1, PAGE),
    0x08: ("X86_TSC_INFO", "PV HVM", 2, "tail", 24, 1, 24),
    0x09: ("HVM_CONTEXT", "HVM", 2, "tail", 1, 1, LONGEST),
    0x0A: ("HVM_PARAMS", "HVM", 2, "tail", 8, 16, LONGEST),
    0x0C: ("X86_PV_VCPU_MSRS", "PV", 2, "vcpu", 8 + 16, 16, LONGEST),
    0x0D: ("VERIFY", "PV HVM", 2, "memory", 0, 1, 0),
    0x0E: ("CHECKPOINT", "PV HVM", 2, "end", 0, 1, 0),
    0x10: ("STATIC_DATA_END", "PV HVM", 3, "static", 0, 1, 0),
    0x11: ("X86_CPUID_POLICY", "PV HVM", 3, "static", 24, 24, LONGEST),
    0x12: ("X86_MSR_POLICY", "PV HVM", 3, "static", 16, 16, LONGEST),
}
ONCE = {"X86_PV_INFO", "X86_PV_P2M_FRAMES", "STATIC_DATA_END"}  # however many checkpoints follow
DIRTY_PFN_LIST = 0x0F  # on the back channel only

# Page types, the four uppermost bits of an entry of PAGE_DATA: 0 ordinary, 1-4 page tables, 9-C pinned ones, and
RESERVED = range(5, 9)
WITHOUT_CONTENT = {0xD, 0xE, 0xF}  # BROKEN, XALLOC (allocated, empty), XTAB (a hole)

# Entries of an HVM context, type by type: the lengths that Xen has given them, or the least one.
LENGTHS = """0, 24, 1016 1024 1032, 8, 400, 16 24 32, 1024, 16, 8, 8, 56, 16 24, 1048, 8, 240, 16 24 32, 600 or more,
    8 16 216, 8 24 32, 8, 24 or more"""
ENTRIES = [lengths.split() for lengths in LENGTHS.split(",")]

# libxl records, and what its CHECKPOINT_STATE says.
L_END, L_LIBXC_CONTEXT, L_XENSTORE_DATA, L_EMULATOR_CONTEXT, L_CHECKPOINT_END, L_CHECKPOINT_STATE = range(6)
NEW, SUSPENDED, READY, RESUMED = range(4)


@dataclass
class Image:
    """What is known of the guest so far."""

    mode: str  # starts as declared; "auto" becomes what the stream shows
    order: str = "<"  # of the domain header and the libxc records
    version: int = 0
    hvm: bool = False
    width: int = 0  # octets in a word of a PV guest
    last_pfn: int = -1
    pages: dict[int, int] = field(default_factory=dict)  # of a PV guest: type by frame number
    p2m: list[tuple[int, int]] = field(default_factory=list)  # frames that hold its p2m, and where that is said
    seen: set[str] = field(default_factory=set)  # records once for all, and those since the last checkpoint
    checkpoints: int = 0  # complete ones; a guest can be resumed from the last
    ended: bool = False  # by libxc's END
    big_endian: int = -1  # where it says so: decoded like any other, but no guest is


def need(kept: object, at: int, why: str) -> None:
    """Refuse the stream unless a rule is kept."""
    if not kept:
        raise ValueError(at, why)


def take(octets: bytes, at: int, size: int) -> bytes:
    """Octets that must be there; as a length is only a claim, nothing is allocated by it."""
    if at + size > len(octets):
        raise EOFError(at, "the stream is cut short here")
    return octets[at : at + size]


def header(octets: bytes, at: int, order: str) -> tuple[int, int]:
    """Type and length of any record, libxl's or libxc's."""
    kind, length = unpack_from(order + "II", take(octets, at, 8))
    return kind, length


def content(octets: bytes, at: int, length: int) -> tuple[bytes, int]:
    """Body of the record there, which is padded to a multiple of 8; and where the next one is."""
    padded = (length + 7) // 8 * 8
    return take(octets, at + 8, padded)[:length], at + 8 + padded


# libxc: the guest itself.


def image_headers(octets: bytes, at: int, image: Image) -> int:
    """Image header, big-endian whatever follows, and domain header."""
    beginning, image.version, options = unpack_from(">12sIH", take(octets, at, 24))
    need(beginning == LIBXC, at, "no libxc image: its marker or id is missing")
    need(image.version in {2, 3}, at + 12, f"version {image.version} is neither 2 nor 3")
    if options & 1:
        image.order, image.big_endian = ">", at + 16
    guest, shift = unpack_from(image.order + "IH", take(octets, at + 24, 16))
    need(guest in {1, 2}, at + 24, f"guest type {guest} is neither 1 (PV) nor 2 (HVM)")
    need(shift == 12, at + 28, f"page_shift is {shift}, not 12")
    image.hvm = guest == 2
    need(image.hvm or image.mode != "colo", at + 24, "COLO is for HVM guests")
    return at + 40


def image_records(octets: bytes, at: int, image: Image) -> int:
    """Records up to the next CHECKPOINT or END, which is their last."""
    image.seen &= ONCE
    while True:
        kind, length = header(octets, at, image.order)
        need(length <= LONGEST, at + 4, f"a record of {length} octets is longer than 128 MiB")
        need(kind in RECORDS or kind >= OPTIONAL, at, f"no record here has type {kind:#x}")
        name, guests, since, part, least, step, most = RECORDS.get(kind, ("", "PV HVM", 2, "optional", 0, 1, LONGEST))
        need(("HVM" if image.hvm else "PV") in guests.split(), at, f"{name} belongs to the other kind of guest")
        need(image.version >= since, at, f"{name} in an image of version {image.version}")
        # Xen 4.6 to 4.8 wrote records of a vcpu without content, which readers accept.
        empty = part == "vcpu" and length == 8
        fits = least <= length <= most and (length - least) % step == 0
        need(fits or empty, at + 4, f"{name} of {length} octets")
        if name:
            in_order(name, guests, part, at, image)
        body, after = content(octets, at, length)
        if name in BODIES and not empty:
            BODIES[name](body, at + 8, image)
        if name and not empty:
            image.seen.add(name)
        if part == "end":
            image.ended = name == "END"
            return after
        at = after


def in_order(name: str, guests: str, part: str, at: int, image: Image) -> None:
    """Static data, STATIC_DATA_END (version 3), a PV guest's p2m, memory and tail in any order, CHECKPOINT or END."""
    seen, later = image.seen, image.checkpoints > 0
    need(not (later and part in {"static", "start"}), at, f"{name} after the first checkpoint")
    if part == "static":
        need("STATIC_DATA_END" not in seen, at, f"{name} after STATIC_DATA_END")
        need(name != "X86_PV_INFO" or name not in seen, at, "a second X86_PV_INFO")
        return
    need("STATIC_DATA_END" in seen or image.version < 3, at, f"{name} before STATIC_DATA_END")
    if not image.hvm and (guests == "PV" or part in {"memory", "end"}):
        need("X86_PV_INFO" in seen, at, f"{name} before X86_PV_INFO")
    if not image.hvm and (name == "PAGE_DATA" or part == "end"):
        need("X86_PV_P2M_FRAMES" in seen, at, f"{name} before X86_PV_P2M_FRAMES")
    checkpointed = later or image.mode in {"remus", "colo"}
    need(name != "VERIFY" or not checkpointed, at, "VERIFY in a checkpointed image")
    if name == "CHECKPOINT":
        need(image.mode != "plain" and "VERIFY" not in seen, at, "CHECKPOINT in a plain image")
    if name == "END":
        need(later or not checkpointed, at, "END without a checkpoint before it")
    # END right behind a checkpoint adds nothing to it.
    if name == "CHECKPOINT" or (name == "END" and not (later and seen <= ONCE)):
        need("HVM_CONTEXT" in seen or not image.hvm, at, "no HVM_CONTEXT")
        need("vcpu 0" in seen or image.hvm, at, "no X86_PV_VCPU_BASIC of vcpu 0")
        for frame, said_at in image.p2m:
            need(image.pages.get(frame) == 0, said_at, f"frame {frame:#x} of the p2m is no ordinary page of the guest")


# Bodies of libxc records that have rules beyond their length.


def page_data(body: bytes, at: int, image: Image) -> None:
    """A count, that many entries (type and frame number), and the pages of those that have content."""
    (count,) = unpack_from(image.order + "I", body)
    need(0 < 8 * count <= len(body) - 8, at, f"{count} entries in {len(body)} octets")
    entries = unpack_from(f"{image.order}{count}Q", body, 8)
    for here, entry in enumerate(entries):
        kind, pfn = entry >> 60, entry & (1 << 52) - 1
        need(kind not in RESERVED, at + 8 + 8 * here, "the page type is reserved")
        if not image.hvm:
            need(pfn <= image.last_pfn, at + 8 + 8 * here, "the frame is beyond the guest's last")
            image.pages[pfn] = kind
    pages = sum(entry >> 60 not in WITHOUT_CONTENT for entry in entries)
    need(len(body) == 8 + 8 * count + PAGE * pages, at, f"{count} entries, {pages} pages in {len(body)} octets")


def pv_info(body: bytes, at: int, image: Image) -> None:
    """Octets in a word, and levels of page tables."""
    image.width = body[0]
    need((body[0], body[1]) in {(4, 3), (8, 4)}, at, f"no guest has words of {body[0]} octets and {body[1]} levels")


def p2m_frames(body: bytes, at: int, image: Image) -> None:
    """First and last frame number, and the frames that hold the guest's own table of its memory, 4 KiB in each."""
    start, end, *frames = unpack_from(f"{image.order}II{len(body) // 8 - 1}Q", body)
    words = PAGE // image.width
    need(start <= end, at, f"the p2m starts at {start:#x}, after its end {end:#x}")
    fits = len(frames) == end // words - start // words + 1
    need(fits, at, f"{len(frames)} frames for the p2m of {start:#x} to {end:#x}")
    image.p2m += [(frame, at + 8 + 8 * k) for k, frame in enumerate(frames)]
    image.last_pfn = max(image.last_pfn, end)


def vcpu_basic(body: bytes, at: int, image: Image) -> None:
    """Registers, in the layout of a 32-bit or a 64-bit guest."""
    need(len(body) == 8 + {4: 0xAF0, 8: 0x1430}[image.width], at - 4, "registers of the other width of guest")
    image.seen.add(f"vcpu {unpack_from(image.order + 'I', body)[0]}")


def hvm_context(body: bytes, at: int, image: Image) -> None:
    """Entries of the hypervisor's, each with type, instance and length: its header first, END last."""
    here, kind, instance, length = 0, 1, 0, 0
    while kind:
        need(here + 8 <= len(body), at, "the HVM context has no END")
        kind, instance, length = unpack_from(image.order + "HHI", body, here)
        need(here or (kind, instance) == (1, 0), at, "the HVM context does not begin with its header")
        need(kind < len(ENTRIES), at + here, f"type {kind} in an HVM context")
        need(here + 8 + length <= len(body), at + here + 4, "an entry is longer than the HVM context")
        lengths = ENTRIES[kind]
        fits = length >= int(lengths[0]) if lengths[-1] == "more" else str(length) in lengths
        if kind == 20 and fits:  # MSRs, counted; what the hypervisor puts into entries is little-endian always
            fits = length == 8 + 16 * unpack_from("<I", body, here + 8)[0]
        need(fits, at + here + 4, f"{length} octets in an entry of type {kind}")
        here += 8 + length
    need(instance == 0, at + here - 6, "the END of the HVM context has an instance")


def hvm_params(body: bytes, at: int, image: Image) -> None:
    """A count, and that many pairs of index (0 to 38) and value; 4.6 to 4.8 wrote records without any."""
    (count,) = unpack_from(image.order + "I", body)
    need(len(body) == 8 + 16 * count, at, f"{count} parameters in {len(body)} octets")
    for index, _ in iter_unpack(image.order + "QQ", body[8:]):
        need(index < 39, at, f"there is no HVM parameter {index}")


def msr_policy(body: bytes, at: int, image: Image) -> None:
    """Index, flags (none is defined), value."""
    for index, flags, _ in iter_unpack(image.order + "IIQ", body):
        need(flags == 0, at, f"flags of MSR {index:#x}")


BODIES: dict[str, Callable[[bytes, int, Image], None]] = {
    "PAGE_DATA": page_data,
    "X86_PV_INFO": pv_info,
    "X86_PV_P2M_FRAMES": p2m_frames,
    "X86_PV_VCPU_BASIC": vcpu_basic,
    "HVM_CONTEXT": hvm_context,
    "HVM_PARAMS": hvm_params,
    "X86_MSR_POLICY": msr_policy,
}


def bare_libxc(octets: bytes, at: int, image: Image) -> None:
    """A libxc image alone, its checkpoints one after another."""
    at = image_headers(octets, at, image)
    while not image.ended:
        at = image_records(octets, at, image)
        image.checkpoints += not image.ended


# libxl: a libxc image, with the device model's state behind it or behind each checkpoint.


def libxl(octets: bytes, at: int, image: Image) -> None:
    """Header, big-endian whatever follows, and records, the first of which announces the image."""
    ident, version, options = unpack_from(">8sII", take(octets, at, 16))
    need(ident == LIBXL and version == 2, at, "no libxl stream of version 2")
    order, converted = "<>"[options & 1], bool(options & 2)
    if options & 1:
        image.big_endian = at + 12
    at += 16
    kind, started, in_checkpoint = -1, False, False
    while kind != L_END:
        kind, length = header(octets, at, order)
        need(kind <= L_CHECKPOINT_STATE or kind >= OPTIONAL, at, f"no record here has type {kind:#x}")
        if kind in {L_END, L_LIBXC_CONTEXT, L_CHECKPOINT_END}:
            need(not length, at + 4, f"a record of type {kind} has content")
        if kind < OPTIONAL:
            need(started == (kind != L_LIBXC_CONTEXT), at, "LIBXC_CONTEXT comes first, and once")
        need(kind != L_CHECKPOINT_STATE, at, "CHECKPOINT_STATE that is not between two checkpoints")
        need(kind != L_END or not in_checkpoint, at, "END inside a checkpoint")
        need(kind != L_CHECKPOINT_END or in_checkpoint, at, "CHECKPOINT_END outside a checkpoint")
        if kind in {L_XENSTORE_DATA, L_EMULATOR_CONTEXT}:
            need(image.hvm, at, "a PV guest has no device model")
            need(length >= 8, at + 4, f"{length} octets cannot hold an emulator's header")
        body, after = content(octets, at, length)
        if kind in {L_XENSTORE_DATA, L_EMULATOR_CONTEXT}:
            emulator(kind, body, at + 8, order, converted)
        if kind in {L_LIBXC_CONTEXT, L_CHECKPOINT_END}:
            if kind == L_LIBXC_CONTEXT:
                after = image_headers(octets, after, image)
            else:
                image.checkpoints += 1
                after = announcement(octets, after, order, image)
            after = image_records(octets, after, image)
            started, in_checkpoint = True, not image.ended
        at = after


def announcement(octets: bytes, at: int, order: str, image: Image) -> int:
    """COLO's primary says NEW, to libxl, before each checkpoint but the first; under Remus libxc goes on at once."""
    kind, length = header(octets, at, order)
    if kind == L_END or not image.hvm:
        return at
    if image.mode == "auto":
        image.mode = "colo" if kind == L_CHECKPOINT_STATE else "remus"
    if image.mode == "remus":
        return at
    need(kind == L_CHECKPOINT_STATE, at, "no CHECKPOINT_STATE announces this checkpoint of COLO")
    state, after = state_there(octets, at, order, length)
    need(state == NEW, at + 8, "CHECKPOINT_STATE is not NEW")
    return after


def state_there(octets: bytes, at: int, order: str, length: int) -> tuple[int, int]:
    """What the CHECKPOINT_STATE there says; and where the next record is."""
    need(length == 4, at + 4, f"CHECKPOINT_STATE of {length} octets")
    body, after = content(octets, at, length)
    return unpack_from(order + "I", body)[0], after


def emulator(kind: int, body: bytes, at: int, order: str, converted: bool) -> None:
    """Which device model, and its state: opaque, or pairs of xenstore key and value, each ended by NUL."""
    (emulator_id,) = unpack_from(order + "I", body)
    # 1 is qemu-traditional, 2 is qemu; who converts a stream of the time before version 2 cannot know.
    need(emulator_id in {1, 2} or (converted and emulator_id == 0), at, f"there is no emulator {emulator_id}")
    if kind == L_XENSTORE_DATA:
        *texts, rest = body[8:].split(b"\0")
        need(not rest and len(texts) % 2 == 0, at + 8, "xenstore data that is not pairs, each part ended by NUL")
        for key, value in zip(texts[::2], texts[1::2], strict=True):
            need(re.fullmatch(rb"[-A-Za-z0-9_@][-A-Za-z0-9/_@]*", key), at + 8, f"xenstore has no key {key!r}")
            need(re.fullmatch(rb"[ -~]*", value), at + 8, f"xenstore does not hold {value!r}")


def back_channel(octets: bytes, at: int, image: Image) -> None:
    """What COLO's secondary says in turn: READY, RESUMED, SUSPENDED, and its list of dirty frames, for libxc.

    It has no header and no end, and may be heard from any of its records on.
    """
    need(image.mode in {"auto", "colo"}, at, "only COLO has a back channel")
    turns = [READY, RESUMED, SUSPENDED, DIRTY_PFN_LIST]
    due = -1
    while at < len(octets) or due < 0:
        kind, length = header(octets, at, "<")
        need(kind in {L_CHECKPOINT_STATE, DIRTY_PFN_LIST}, at, f"no record here has type {kind:#x}")
        if kind == DIRTY_PFN_LIST:
            need(length % 8 == 0 and length <= LONGEST, at + 4, f"dirty frames in {length} octets")
            said, after = kind, content(octets, at, length)[1]
        else:
            said, after = state_there(octets, at, "<", length)
            need(said in turns[:3], at + 8, f"CHECKPOINT_STATE {said}")
        need(due < 0 or said == turns[due], at, f"{said} out of turn")
        due = (turns.index(said) + 1) % 4
        at = after


# xl's file: a header, the guest's configuration, and a libxl stream.


def xl(octets: bytes, at: int, image: Image) -> None:
    """Magic, byte order, flags (1: the configuration is JSON, 2: the stream is libxl's), and the optional data."""
    magic, mark = unpack_from("32s4s", take(octets, at, 48))
    need(magic == XL, at, "no file of xl")
    order = {b"\4\3\2\1": "<", b"\1\2\3\4": ">"}.get(mark, "")
    need(order, at + 32, "no byte order")
    if order == ">":
        image.big_endian = at + 32
    flags, _, length = unpack_from(order + "III", octets, at + 36)
    need(flags < 4, at + 36, f"no reader knows the flags {flags:#x}")
    data, stream = take(octets, at + 48, length), at + 48 + length
    need(length >= 4, at + 44, "no room for the length of a configuration")
    (size,) = unpack_from(order + "I", data)
    need(size <= length - 4, at + 48, f"a configuration of {size} octets in {length} of optional data")
    json = data[4 : 4 + size]
    if json and flags & 1:
        need(json.lstrip()[:1] == b"{" and json.find(0) == size - 1, at + 52, "no JSON with a NUL behind it")
    if not flags & 2:
        need(not octets.startswith((LIBXL, LIBXC), stream), stream, "the flag of this stream is not set")
        raise LookupError(stream, "a stream from before version 2")
    libxl(octets, stream, image)


FORMS = {"xl": xl, "libxl": libxl, "libxc": bare_libxc, "back-channel": back_channel}
BEGINNINGS = {XL: "xl", LIBXL: "libxl", LIBXC: "libxc", b"\5\0\0\0\4\0\0\0\2" + bytes(7): "back-channel"}


def judge(octets: bytes, form: str = "auto", mode: str = "auto") -> tuple[str, int, str]:
    """ "accept", "reject" or "unknown"; the offset where that shows; the reason."""
    if form == "auto":
        form = next((form for beginning, form in BEGINNINGS.items() if octets.startswith(beginning)), "")
    if form not in FORMS:
        return "unknown", 0, "it begins as nothing that this reader knows"
    image = Image(mode)
    try:
        FORMS[form](octets, 0, image)
    except ValueError as broken:
        return "reject", *broken.args
    except LookupError as other:
        return "unknown", *other.args
    except EOFError as cut:
        if not image.checkpoints:  # to go on from
            return "reject", *cut.args
    if image.big_endian >= 0:
        return "reject", image.big_endian, "it says that it is big-endian, as no guest is"
    return "accept", len(octets), "it breaks no rule"


def main() -> int:
    """Judge files: exit status 0 if all are accepted, 1 if one is not, 2 for wrong usage."""
    first, _, examples = str(__doc__).partition("examples:")
    parser = argparse.ArgumentParser(
        description=first, epilog="examples:" + examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--as", dest="form", choices=["auto", *FORMS], default="auto", help="what the input is")
    parser.add_argument("--mode", choices=["auto", "plain", "remus", "colo"], default="auto", help="what was asked for")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a stream, or - for standard input; .gz is opened")
    asked = parser.parse_args()
    status = 0
    for name in asked.files:
        try:
            with gzip.open(name) if name.endswith(".gz") else open(0 if name == "-" else name, "rb") as file:
                verdict, offset, why = judge(file.read(), asked.form, asked.mode)
        except (OSError, EOFError, zlib.error) as unread:
            verdict, offset, why = "unknown", 0, f"it cannot be read: {unread}"
        print(f"{name}: {verdict} at {offset}: {why}")
        status |= verdict != "accept"
    return status


if __name__ == "__main__":
    sys.exit(main())
