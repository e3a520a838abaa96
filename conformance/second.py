"""A second reader of Xen migration streams: does a stream keep the rules of its format?

It is small on purpose, needs nothing but Python, and shares nothing with streamfmt,
so that each of the two can be checked against the other.
A rule counts if a writer must keep it and readers need not tolerate its breach;
reserved bits, padding, repeats and whatever follows END are ignored.

examples:
  python second.py guest.sav                      a file of `xl save`
  python second.py --mode colo captured.bin       COLO is agreed outside the stream, so say it
  python second.py --as back-channel - <answers   what COLO's secondary said
"""

import argparse
import json
import re
import sys
from collections.abc import Container
from dataclasses import dataclass, field
from struct import calcsize, iter_unpack, unpack_from
from typing import Any

XL = b"Xen saved domain, xl format\n \0 \r"
LIBXL = b"LibxlFmt"
LIBXC = b"\xff" * 8 + b"XENF"
BIG_ENDIAN = "it says that it is big-endian, as no guest is"
PAGE = 4096
REGISTERS = {4: 0xAF0, 8: 0x1430}  # bytes that hold a PV vcpu's, by the bytes in a word of its guest
MOST = 128 << 20  # bytes in the body of a libxc record
FRAMES = 1 << 40  # of 4096 bytes that any x86 processor can address
OPTIONAL = 1 << 31  # who does not know a type may skip it from here on

# Any record is type (32 bits), length (32 bits), that many bytes, and padding to a multiple of 8.
# Tables of them, by type: a name, what it needs to have been seen before ("a/b": one of these; "!a": not a), lengths.
# Seen are names of records, "v2" or "v3", "PV" or "HVM", the mode, and what is said where it is set.
Table = dict[int, tuple[str, str, Container[int]]]
STATIC = "v2/STATIC_DATA_END"  # version 3 has its static data first, and says where they end
MEMORY = f"{STATIC} HVM/X86_PV_P2M_FRAMES"

LIBXC_RECORDS: Table = {
    0x00: ("END", f"{MEMORY} plain/auto/CHECKPOINT unchanged/PV/HVM_CONTEXT unchanged/HVM/vcpu0", [0]),
    0x01: ("PAGE_DATA", MEMORY, range(16, MOST + 1, 8)),
    0x02: ("X86_PV_INFO", "PV !STATIC_DATA_END !X86_PV_INFO", [8]),
    0x03: ("X86_PV_P2M_FRAMES", f"{STATIC} X86_PV_INFO !CHECKPOINT", range(16, MOST + 1, 8)),
    0x04: ("X86_PV_VCPU_BASIC", f"{STATIC} X86_PV_INFO", [8 + size for size in REGISTERS.values()]),
    0x05: ("X86_PV_VCPU_EXTENDED", f"{STATIC} X86_PV_INFO", range(8 + 1, 8 + 128 + 1)),
    0x06: ("X86_PV_VCPU_XSAVE", f"{STATIC} X86_PV_INFO", range(8 + 16, MOST + 1)),
    0x07: ("SHARED_INFO", f"{STATIC} X86_PV_INFO", [PAGE]),
    0x08: ("X86_TSC_INFO", STATIC, [24]),
    0x09: ("HVM_CONTEXT", f"{STATIC} HVM", range(MOST + 1)),
    0x0A: ("HVM_PARAMS", f"{STATIC} HVM", range(8, MOST + 1, 16)),
    0x0C: ("X86_PV_VCPU_MSRS", f"{STATIC} X86_PV_INFO", range(8 + 16, MOST + 1, 16)),
    0x0D: ("VERIFY", f"{STATIC} !CHECKPOINT", [0]),
    0x0E: ("CHECKPOINT", f"{MEMORY} !plain !VERIFY PV/HVM_CONTEXT HVM/vcpu0", [0]),
    0x10: ("STATIC_DATA_END", "v3 !STATIC_DATA_END", [0]),
    0x11: ("X86_CPUID_POLICY", "v3 !STATIC_DATA_END", range(24, MOST + 1, 24)),
    0x12: ("X86_MSR_POLICY", "v3 !STATIC_DATA_END", range(16, MOST + 1, 16)),
    OPTIONAL: ("", "", range(MOST + 1)),
}
LIBXL_RECORDS: Table = {
    0: ("END", "END", [0]),  # libxc's
    1: ("LIBXC_CONTEXT", "!LIBXC_CONTEXT", [0]),
    2: ("EMULATOR_XENSTORE_DATA", "HVM", range(8, 1 << 32)),
    3: ("EMULATOR_CONTEXT", "HVM", range(8, 1 << 32)),
    4: ("CHECKPOINT_END", "CHECKPOINT !END", [0]),
    OPTIONAL: ("", "", range(1 << 32)),
}
STATE: Table = {5: ("CHECKPOINT_STATE", "", [4])}
ANSWERS: Table = STATE | {0x0F: ("DIRTY_PFN_LIST", "", range(0, MOST + 1, 8))}
NEW, SUSPENDED, READY, RESUMED = (bytes([state, 0, 0, 0]) for state in range(4))

# Page types: 0 ordinary, 1-4 page tables, 9-C pinned ones, D BROKEN, E XALLOC (allocated, empty), F XTAB (a hole).
# Of a PV vcpu's registers, by the bytes in a word: where edx or rdx is, cr3, and the frames and entries of the GDT.
NAMED = {4: (0x20C, 0xAA8, 0xA50, 0xA90), 8: (0x268, 0x1390, 0x12E0, 0x1360)}
CR1, EFLAGS, VM = 0x1380, 0x22C, 1 << 17  # of 64 bits and of 32; virtual-8086 mode

# What a saver has always sent at the end of an image or a checkpoint.
LAST = {
    "PV": {"X86_TSC_INFO", "SHARED_INFO", "X86_PV_VCPU_BASIC"},
    "HVM": {"X86_TSC_INFO", "HVM_CONTEXT", "HVM_PARAMS"},
}

RESERVED, WITHOUT_CONTENT = {5, 6, 7, 8}, {0xD, 0xE, 0xF}

# Lengths that Xen has given to the entries of an HVM context, by type; "+" is "or more".
ENTRIES = "0 24 1016/1024/1032 8 400 16/24/32 1024 16 8 8 56 16/24 1048 8 240 16/24/32 600+ 8/16/216 8/24/32 8 24+"


class OtherFormat(Exception):  # noqa: N818 - it is not an error
    """What follows is judged by others."""


def need(kept: object, why: str) -> None:
    """Refuse the stream unless a rule is kept."""
    if not kept:
        raise ValueError(why)


@dataclass
class Stream:
    """Bytes, how far they are read, and what they have said of the guest so far."""

    data: bytes
    seen: set[str] = field(default_factory=set)
    start: int = 0  # of what was taken last
    at: int = 0
    width: int = 0  # bytes in a word of a PV guest
    last_pfn: int = 0
    pages: dict[int, int] = field(default_factory=dict)  # of a PV guest: type by frame number
    named: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # by vcpus: frame, level of page table
    p2m: list[int] = field(default_factory=list)  # frames that hold a PV guest's table of its memory

    def take(self, form: str) -> tuple[Any, ...]:
        """Fields that must be there; as a length is only a claim, nothing is allocated by it."""
        self.start, self.at = self.at, self.at + calcsize(form)
        need(self.at <= len(self.data), "the stream is cut short here")
        return unpack_from(form, self.data, self.start)

    def record(self, table: Table) -> tuple[str, bytes]:
        """Name and body of the next record; no name if it says nothing."""
        kind, length = self.take("<II")
        need(min(kind, OPTIONAL) in table, f"no record here has type {kind:#x}")
        # By its bits it might be skipped, but so begins no record that anybody adds.
        need(not self.data.startswith(LIBXC, self.start), "another image begins where a record should")
        name, needs, lengths = table[min(kind, OPTIONAL)]
        for either in needs.split():
            kept = any((fact.strip("!") in self.seen) != fact.startswith("!") for fact in either.split("/"))
            need(kept, f"{name} needs {either}")
        # Xen 4.6 to 4.8 wrote records of a vcpu without content, which readers accept.
        empty = "VCPU" in name and length == 8
        need(empty or length in lengths, f"{name} of {length} bytes")
        (body,) = self.take(f"{length}s{-length % 8}x")
        if empty or not name:
            return "", body
        content(name, body, self)
        self.seen.add(name)
        return name, body


def xl(stream: Stream) -> None:
    """A file of xl: magic, byte order, flags (1: JSON, 2: libxl), the guest's configuration, and a libxl stream."""
    magic, mark = stream.take("32s4s")
    order = {b"\4\3\2\1": "<", b"\1\2\3\4": ">"}.get(mark, "")
    need(magic == XL and order, "no file of xl, or no byte order")
    flags, _, length = stream.take(order + "3I")
    need(flags < 4, f"no reader knows the flags {flags:#x}")
    (size,) = stream.take(order + "I") if length else (0,)
    length = max(length, 4)  # without any the configuration comes from elsewhere
    need(size <= length - 4, f"a configuration of {size} bytes in {length} of optional data")
    configuration, _ = stream.take(f"{size}s{length - 4 - size}s")
    device_model(configuration, stream)
    need(not flags & 1 or re.fullmatch(rb"(\s*\{[^\0]*\0)?", configuration), "no JSON with a NUL after it")
    if not flags & 2:
        need(begins(stream.data[stream.at :]) not in {"libxl", "libxc"}, "the flag of this stream is not set")
        raise OtherFormat("a stream from before version 2")
    need(order == "<", BIG_ENDIAN)
    libxl(stream)


def device_model(configuration: bytes, stream: Stream) -> None:
    """Note that the guest has a device model, if its configuration says that it is HVM."""
    try:
        if json.loads(configuration.partition(b"\0")[0])["c_info"]["type"] == "hvm":
            stream.seen.add("device model")
    except (ValueError, KeyError, TypeError, RecursionError):
        pass


def zeros_follow(stream: Stream, closing: int) -> bool:
    """Whether more zeros follow than the layer around needs for its own END: then what was read may be no END."""
    ahead = stream.data[stream.at :][:64]
    zeros = len(ahead) - len(ahead.lstrip(b"\0"))
    return zeros >= closing + 8 or closing < zeros == len(ahead)


def vcpu(body: bytes, stream: Stream) -> None:
    """Remember the frames that a PV vcpu names, with the level of the page table that each has to be; 0 for none."""
    width, levels = stream.width, stream.width // 4 + 2
    registers, (number,) = body[8:], unpack_from("<I", body)

    def word(place: int) -> int:
        return int.from_bytes(registers[place : place + width], "little")

    info, top, frames, entries = NAMED[width]
    need(word(entries) <= 7168, "a GDT of too many entries")
    tops = [word(top), *([word(CR1)] if width == 8 and word(CR1) & 1 else [])]
    found = [(register >> 12 | (register << 20 & (1 << 32) - 1 if width == 4 else 0), levels) for register in tops]
    found += [(word(frames + width * place), 0) for place in range(-(-word(entries) // 512))]
    stream.named[number] = found + ([(word(info), 0)] if number == 0 else [])
    need(width == 8 or not word(EFLAGS) & VM, "a vcpu of 32 bits in virtual-8086 mode")


def libxl(stream: Stream) -> None:
    """A header, a libxc image, and the device model's state after it or after each checkpoint."""
    ident, version, options = stream.take(">8sII")
    need((ident, version) == (LIBXL, 2), "no libxl stream of version 2")
    need(not options & 1, BIG_ENDIAN)
    if options & 2:
        stream.seen.add("converted")
    name = ""
    while name != "END":
        name, _ = stream.record(LIBXL_RECORDS)
        if name == "LIBXC_CONTEXT":
            libxc_headers(stream)
            libxc_records(stream)
        if name == "CHECKPOINT_END":
            # COLO's primary says NEW before each checkpoint but the first; Remus goes on at once, as END may.
            # Type 5 shows which, for no HVM guest has what 5 means to libxc.
            kind, _ = stream.take("<II")
            stream.at = stream.start
            if kind != 0 and stream.seen >= {"auto", "HVM"}:
                stream.seen ^= {"auto", "colo" if kind == 5 else "remus"}
            if kind != 0 and "colo" in stream.seen:
                need(stream.record(STATE)[1] == NEW, "CHECKPOINT_STATE is not NEW")
            libxc_records(stream)


def libxc(stream: Stream) -> None:
    """The guest itself alone, its checkpoints one after another."""
    libxc_headers(stream)
    while "END" not in stream.seen:
        libxc_records(stream)


def libxc_headers(stream: Stream) -> None:
    """Image header, big-endian always, and domain header."""
    beginning, version, options = stream.take(">12sIH6x")
    need(beginning == LIBXC and version in {2, 3}, "no libxc image of version 2 or 3")
    need(not options & 1, BIG_ENDIAN)
    guest, shift = stream.take("<IH10x")
    need(guest in {1, 2} and shift == 12, f"guest type {guest} with pages of 2**{shift} bytes")
    stream.seen |= {f"v{version}", "HVM" if guest == 2 else "PV"}
    need(not stream.seen >= {"colo", "PV"}, "COLO is for HVM guests")


def libxc_records(stream: Stream) -> None:
    """Records up to the next CHECKPOINT or END; after one the guest is "unchanged" until another record comes."""
    name = ""
    while name not in {"CHECKPOINT", "END"}:
        name, _ = stream.record(LIBXC_RECORDS)
        if name:
            stream.seen.discard("unchanged")
    stream.seen -= {"vcpu0", *LAST["PV"], *LAST["HVM"]}
    stream.named.clear()
    stream.seen.add("unchanged")


def back_channel(stream: Stream) -> None:
    """What COLO's secondary answers: four records in turn, without header or end, heard from any of them on."""
    need(not stream.seen & {"plain", "remus"}, "only COLO has a back channel")
    turns = [READY, RESUMED, SUSPENDED, "DIRTY_PFN_LIST"]
    due: object = None
    while due is None or stream.at < len(stream.data):
        name, body = stream.record(ANSWERS)
        said = body if name == "CHECKPOINT_STATE" else name
        need(said in turns and due in {None, said}, f"{said!r} out of turn")
        due = turns[(turns.index(said) + 1) % 4]


def content(name: str, body: bytes, stream: Stream) -> None:
    """Rules that a body of a fitting length has to keep."""
    match name:
        case "PAGE_DATA":  # a count, that many entries of type and frame number, and pages for those with content
            (count,) = unpack_from("<I", body)
            need(8 + 8 * count <= len(body), f"{count} entries in {len(body)} bytes")
            entries = unpack_from(f"<{count}Q", body, 8)
            types = [entry >> 60 for entry in entries]
            need(RESERVED.isdisjoint(types), "the page type is reserved")
            pages = sum(number not in WITHOUT_CONTENT for number in types)
            need(len(body) == 8 + 8 * count + PAGE * pages, f"{count} entries, {pages} pages in {len(body)} bytes")
            frames = [entry & (1 << 52) - 1 for entry in entries]
            need("PV" in stream.seen or max(frames) < FRAMES, "no x86 has the frame")
            if "PV" in stream.seen:
                need(max(frames) <= stream.last_pfn, "the frame is beyond the guest's last")
                stream.pages.update(zip(frames, types, strict=True))
        case "X86_PV_INFO":  # bytes in a word, and levels of page tables
            need(body[:2] in {b"\4\3", b"\x08\4"}, f"no guest has words of {body[0]} bytes and {body[1]} levels")
            stream.width = body[0]
        case "X86_PV_P2M_FRAMES":  # first and last frame number, and frames with the guest's own table of its memory
            start, end, *frames = unpack_from(f"<II{len(body) // 8 - 1}Q", body)
            words = PAGE // stream.width
            fits = start <= end and len(frames) == end // words - start // words + 1
            need(fits, f"{len(frames)} frames for the p2m of {start:#x} to {end:#x}")
            stream.last_pfn = max(stream.last_pfn, end)
            stream.p2m += frames
        case "END" | "CHECKPOINT":
            need(all(stream.pages.get(frame) == 0 for frame in stream.p2m), "the p2m is not in ordinary pages")
            for frame, level in [row for rows in stream.named.values() for row in rows] if stream.last_pfn else []:
                kind = stream.pages.get(frame, 0xF)
                need(kind == 0 if not level else kind & 7 == level and kind < 0xD, f"vcpus name frame {frame:#x}")
            if name == "END" and "END" in stream.seen:  # libxl's, after libxc's
                owed = stream.seen >= {"device model", "HVM"} and "EMULATOR_CONTEXT" not in stream.seen
                need(not owed or not zeros_follow(stream, 0), "zeros are where the device model's state should be")
            elif name == "END" and "unchanged" not in stream.seen:
                owed = bool(LAST["PV" if "PV" in stream.seen else "HVM"] - stream.seen)
                closing = 8 if "LIBXC_CONTEXT" in stream.seen else 0
                need(not owed or not zeros_follow(stream, closing), "zeros are where more of the guest should be")
        case "X86_PV_VCPU_BASIC":  # the vcpu's number, and its registers
            need(len(body) == 8 + REGISTERS[stream.width], "registers of the other width of guest")
            stream.seen.add(f"vcpu{unpack_from('<I', body)[0]}")
            vcpu(body, stream)
        case "HVM_CONTEXT":  # entries of the hypervisor's, its header first, END last
            need(body.startswith(b"\1\0\0\0"), "the HVM context does not begin with its header")
            need(body[8:16] == b"\x86\x12\x38\x54\1\0\0\0", "its magic number or version is another")
            context, kind, instance, types = Stream(body), 1, 0, ENTRIES.split()
            while kind:
                kind, instance, length = context.take("<HHI")
                (entry,) = context.take(f"{length}s")
                need(kind < len(types), f"type {kind} in an HVM context")
                lengths = types[kind]
                fits = length >= int(lengths[:-1]) if lengths.endswith("+") else str(length) in lengths.split("/")
                need(fits, f"{length} bytes in an entry of type {kind}")
                need(kind != 20 or length == 8 + 16 * unpack_from("<I", entry)[0], "MSRs and their count differ")
            need(instance == 0, "the END of the HVM context has an instance")
        case "HVM_PARAMS":  # a count, and that many pairs of index and value; 4.6 to 4.8 wrote records without any
            need(len(body) == 8 + 16 * unpack_from("<I", body)[0], "HVM parameters and their count differ")
            need(all(index < 39 for index, _ in iter_unpack("<QQ", body[8:])), "there is no such HVM parameter")
        case "X86_MSR_POLICY":  # index, flags (none is defined), value
            need(all(flags == 0 for _, flags, _ in iter_unpack("<IIQ", body)), "flags of an MSR")
        case "EMULATOR_XENSTORE_DATA" | "EMULATOR_CONTEXT":  # whose state (1: qemu-traditional, 2: qemu), and that
            (emulator,) = unpack_from("<I", body)
            # Who converts a stream of the time before version 2 cannot know whose it is.
            need(emulator in {1, 2} or (emulator == 0 and "converted" in stream.seen), f"no emulator is {emulator}")
            if name == "EMULATOR_XENSTORE_DATA":
                *strings, rest = body[8:].split(b"\0")
                keys = all(re.fullmatch(rb"[-\w@]+(/[-\w@]+)*", key) for key in strings[::2])
                # Below /local/domain/0/device-model/1/, 31 bytes: a path, and a message of path, NUL and value.
                pairs = zip(strings[::2], strings[1::2], strict=False)
                small = all(len(key) <= 3072 - 31 and len(key) + 1 + len(value) <= 4096 - 31 for key, value in pairs)
                need(small, "a key and value that do not fit into a message of xenstore")
                fits = keys and all(re.fullmatch(rb"[ -~]*", value) for value in strings[1::2])
                need(fits and not (len(strings) % 2 or rest), "no pairs of xenstore key and value, each ended by NUL")


FORMS = {"xl": xl, "libxl": libxl, "libxc": libxc, "back-channel": back_channel}
BEGINNINGS = {XL: "xl", LIBXL: "libxl", LIBXC: "libxc", b"\5\0\0\0\4\0\0\0\2" + bytes(7): "back-channel"}


def begins(data: bytes) -> str:
    """The form that begins so, be one byte in four of a header's letters damaged; "" for none."""
    for letters, form in BEGINNINGS.items():
        right = sum(map(int.__eq__, data, letters))
        if right >= len(letters) * (1 if form == "back-channel" else 3 / 4) and len(data) >= len(letters):
            return form
    return ""


def judge(data: bytes, form: str = "auto", mode: str = "auto") -> tuple[str, int, str]:
    """ "accept", "reject" or "unknown"; where the header or body is that shows it; the reason."""
    if form == "auto":
        form = begins(data)
    if form not in FORMS:
        return "unknown", 0, "it begins as nothing that this reader knows"
    stream = Stream(data, {mode})
    try:
        FORMS[form](stream)
    except OtherFormat as other:
        return "unknown", stream.at, str(other)
    except ValueError as broken:
        # A checkpointed stream may be cut short anywhere after a checkpoint from which the guest can go on.
        complete = "CHECKPOINT" if form == "libxc" else "CHECKPOINT_END"
        if stream.at <= len(data) or complete not in stream.seen:
            return "reject", stream.start, str(broken)
    return "accept", len(data), "it breaks no rule"


def main() -> int:
    """Judge files: exit status 0 if all are accepted, 1 if one is not, 2 for wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as", dest="form", choices=["auto", *FORMS], default="auto", help="what the input is")
    parser.add_argument("--mode", choices=["auto", "plain", "remus", "colo"], default="auto", help="what was asked for")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a stream, or - for standard input")
    asked = parser.parse_args()
    status = 0
    for name in asked.files:
        try:
            with open(0 if name == "-" else name, "rb") as file:
                verdict, offset, why = judge(file.read(), asked.form, asked.mode)
        except OSError as unread:
            verdict, offset, why = "unknown", 0, f"it cannot be read: {unread}"
        print(f"{name}: {verdict} at {offset}: {why}")
        status |= verdict != "accept"
    return status


if __name__ == "__main__":
    sys.exit(main())
