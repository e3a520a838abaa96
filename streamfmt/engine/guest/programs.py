"""What guests run: programs of bytes assembled here, where they lie in memory, and how a vcpu begins them.

All are for flat 32-bit protected mode without paging, which any KVM runs, with hardware under it or without.

`counters` goes over its pages, round and round, and adds one to each; from time to time it asks what time it is, which
shows the longest time for which it stood still, and how long it is to rest, which sets its rate.  `console` writes a
text to a port, character by character, again and again.  `clock` goes over its pages as `counters` does, and writes
the time into each.  `idle` halts.  Interrupts of the timer are counted meanwhile, if they are asked for.  What has to
hold at any moment is in :mod:`.workload`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from . import assembler as asm
from .assembler import EAX, EBP, EBX, ECX, EDI, EDX, ESI, Item, Jump, Label

PAGE = 4096
# Ports of the devices that guests have beside those of KVM: one to write characters to, one that gives the time in
# microseconds (the lower 32 bits), one that lets a vcpu rest until the microseconds it writes have passed since the
# last time.
CONSOLE, CLOCK, PACE = 0xE9, 0xEA, 0xEC
# Of the PC's: commands and masks of the master interrupt controller, and of the timer (Intel 8259A and 8254 manuals).
_PIC, _PIC_DATA, _PIT_CHANNEL, _PIT = 0x20, 0x21, 0x40, 0x43
# Initialise: edges, cascaded, ICW4 follows; then the first vector, the slave's line, 8086 mode; the timer's line only.
_VECTOR, _SLAVE, _MODE_8086, _ONLY_TIMER, _END_OF_INTERRUPT = 0x20, 4, 1, 0xFE, 0x20
# Channel 0, both bytes, mode 2: a pulse every so many ticks.
_RATE_GENERATOR = 0x34

# Frames at the bottom of memory that programs have for themselves; those that a real toolstack has magic pages for
# (schema/hvm.py, PARAMS) are among them and stay as they are.  Pages to write begin after them.
CODE, BLOCKS, DESCRIPTORS, STACKS, TEXT, MAGIC = 1, 2, 3, 4, 5, 8
FIRST = 16
MAGIC_PARAMS = ("STORE_PFN", "CONSOLE_PFN", "IOREQ_PFN", "BUFIOREQ_PFN")
VCPUS_MAX = 16
_BLOCK_SIZE = PAGE // VCPUS_MAX
_STACK_SIZE = PAGE // VCPUS_MAX
# What a vcpu's program is to do and how far it is, by name: 8 bytes each, of which these programs use the lower four.
_FIELDS = (
    "magic", "base", "end", "size", "pages", "stride", "batch", "interval", "last", "gap", "ticks", "divisor",
    "text", "text_end",
)  # fmt: skip
FIELDS = {name: number * 8 for number, name in enumerate(_FIELDS)}
# At the beginning of each vcpu's block, so that a guest that arrives says what it runs: the program's number is added.
BLOCK_MAGIC = 0x57524B00
PROGRAMS = ("idle", "counters", "console", "clock")
# Of those that write pages, the labels between which only the lower half of their number of pages has been added to.
WRITERS = {"counters": ("added", "carry"), "clock": ("clock added", "clock carry")}
# Offsets in a written page: how often, its own address (8 bytes), the time, and how often again, at its end.
COUNT, OWN, TIME, COUNT_AGAIN = 0, 8, 16, PAGE - 4


def microseconds() -> int:
    """The time of day, in microseconds: the same on all hosts, as far as their clocks agree."""
    return time.time_ns() // 1000


def block(vcpu: int) -> int:
    """The address of a vcpu's block."""
    return BLOCKS * PAGE + vcpu * _BLOCK_SIZE


def stack(vcpu: int) -> int:
    """The address at which a vcpu's stack begins; it grows down."""
    return STACKS * PAGE + (vcpu + 1) * _STACK_SIZE


def _field(name: str) -> int:
    return FIELDS[name]


# EBX: its block.  EDI: the page; ESI: how far the next one is.  EBP and ECX: pages that are done, ever, as 64 bits.
# EDX: pages until the batch is over.  EAX is free.
_COUNTERS: tuple[Item, ...] = (
    Label("counters"),
    asm.read_port(CLOCK),
    asm.store(EBX, _field("last"), EAX),
    Label("page"),
    asm.increment_word(EDI, COUNT),
    asm.store(EDI, OWN, EDI),
    asm.load(EAX, EDI, COUNT),
    asm.store(EDI, COUNT_AGAIN, EAX),
    asm.increment(EBP),
    Label("added"),
    Jump("not zero", "low"),
    Label("carry"),
    asm.increment(ECX),
    Label("low"),
    asm.add(EDI, ESI),
    Label("wrap"),
    asm.compare(EDI, EBX, _field("end")),
    Jump("below", "inside"),
    asm.subtract(EDI, EBX, _field("size")),
    Label("inside"),
    asm.decrement(EDX),
    Jump("not zero", "page"),
    # The longest time since it last asked.
    asm.read_port(CLOCK),
    asm.move(EDX, EAX),
    asm.subtract(EDX, EBX, _field("last")),
    asm.store(EBX, _field("last"), EAX),
    asm.compare(EDX, EBX, _field("gap")),
    Jump("not above", "short"),
    asm.store(EBX, _field("gap"), EDX),
    Label("short"),
    asm.load(EDX, EBX, _field("batch")),
    asm.load(EAX, EBX, _field("interval")),
    asm.test(EAX),
    Jump("zero", "page"),
    asm.write_port(PACE),
    Jump("", "page"),
)
# The same registers, but for EDX, which is free.
_CLOCK: tuple[Item, ...] = (
    Label("clock"),
    asm.read_port(CLOCK),
    asm.store(EDI, TIME, EAX),
    asm.increment_word(EDI, COUNT),
    asm.store(EDI, OWN, EDI),
    asm.load(EAX, EDI, COUNT),
    asm.store(EDI, COUNT_AGAIN, EAX),
    asm.increment(EBP),
    Label("clock added"),
    Jump("not zero", "clock low"),
    Label("clock carry"),
    asm.increment(ECX),
    Label("clock low"),
    asm.add(EDI, ESI),
    asm.compare(EDI, EBX, _field("end")),
    Jump("below", "clock inside"),
    asm.subtract(EDI, EBX, _field("size")),
    Label("clock inside"),
    asm.load(EAX, EBX, _field("interval")),
    asm.test(EAX),
    Jump("zero", "clock"),
    asm.write_port(PACE),
    Jump("", "clock"),
)
# ESI: the next character.  EDI: characters written, ever.
_CONSOLE: tuple[Item, ...] = (
    Label("console"),
    asm.load_byte(ESI, 0),
    asm.write_port_byte(CONSOLE),
    asm.increment(EDI),
    asm.increment(ESI),
    asm.compare(ESI, EBX, _field("text_end")),
    Jump("below", "console"),
    asm.load(ESI, EBX, _field("text")),
    asm.load(EAX, EBX, _field("interval")),
    asm.test(EAX),
    Jump("zero", "console"),
    asm.write_port(PACE),
    Jump("", "console"),
)
_IDLE: tuple[Item, ...] = (Label("idle"), asm.HALT, Jump("", "idle"))


def _port_bytes(*pairs: tuple[int, int]) -> tuple[bytes, ...]:
    return tuple(asm.set_byte(value) + asm.write_port_byte(port) for port, value in pairs)


# Let the timer tick, then go to the program, whose address is in EAX at the beginning, so it is kept on the stack.
_TICKING: tuple[Item, ...] = (
    Label("ticking"),
    asm.push(EAX),
    *_port_bytes((_PIC, 0x11), (_PIC_DATA, _VECTOR), (_PIC_DATA, _SLAVE), (_PIC_DATA, _MODE_8086)),
    *_port_bytes((_PIC_DATA, _ONLY_TIMER), (_PIT, _RATE_GENERATOR)),
    asm.load_byte(EBX, _field("divisor")),
    asm.write_port_byte(_PIT_CHANNEL),
    asm.load_byte(EBX, _field("divisor") + 1),
    asm.write_port_byte(_PIT_CHANNEL),
    asm.ENABLE_INTERRUPTS,
    asm.RETURN,
    Label("tick"),
    asm.push(EAX),
    asm.increment_word(EBX, _field("ticks")),
    asm.set_byte(_END_OF_INTERRUPT),
    asm.write_port_byte(_PIC),
    # Flags, then a far return over them: KVM without hardware has no IRET in protected mode.
    asm.push_from_stack(12),
    asm.POP_FLAGS,
    asm.pop(EAX),
    asm.far_return(4),
)


@cache
def code() -> tuple[bytes, dict[str, int]]:
    """All programs, and where each begins."""
    return asm.assemble((*_COUNTERS, *_CLOCK, *_CONSOLE, *_IDLE, *_TICKING), CODE * PAGE)


# Flat segments of 4 GiB: none, code, data (Intel SDM volume 3, section 3.4.5).
_GDT = (0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF)
CODE_SELECTOR, DATA_SELECTOR = 8, 16
GDT_BASE, IDT_BASE = DESCRIPTORS * PAGE, DESCRIPTORS * PAGE + 256
GDT_LIMIT, IDT_LIMIT = len(_GDT) * 8 - 1, (_VECTOR + 1) * 8 - 1


# CR0, bit PE.
PROTECTED = 1


def segments() -> dict[str, dict[str, int]]:
    """The segments and tables of a vcpu that runs them, field by field."""
    flat = {
        "base": 0,
        "limit": 0xFFFFFFFF,
        "present": 1,
        "dpl": 0,
        "db": 1,
        "s": 1,
        "l": 0,
        "g": 1,
        "avl": 0,
        "unusable": 0,
    }
    code = {**flat, "sel": CODE_SELECTOR, "type": 0xB}
    data = {**flat, "sel": DATA_SELECTOR, "type": 0x3}
    tables = {"gdtr": {"base": GDT_BASE, "limit": GDT_LIMIT}, "idtr": {"base": IDT_BASE, "limit": IDT_LIMIT}}
    return {"cs": code, **dict.fromkeys(("ds", "es", "fs", "gs", "ss"), data), **tables}


def descriptors() -> bytes:
    """The descriptor tables: segments, and an interrupt gate for the timer's vector."""
    handler = code()[1]["tick"]
    gate = handler & 0xFFFF | CODE_SELECTOR << 16 | 0x8E << 40 | handler >> 16 << 48
    gdt = b"".join(entry.to_bytes(8, "little") for entry in _GDT)
    return gdt.ljust(IDT_BASE - GDT_BASE, b"\0") + bytes(_VECTOR * 8) + gate.to_bytes(8, "little")


@dataclass(frozen=True, slots=True)
class Work:
    """What one vcpu does.

    :param program: one of `PROGRAMS`.
    :param first: the first frame that it writes.
    :param pages: how many it writes: its working set.
    :param stride: how many frames the next page is away; without a divisor in common with `pages`, so that all come.
    :param batch: pages that `counters` writes between two looks at the clock.
    :param interval: microseconds that a batch takes at least, or a text, or a page of `clock`; 0 for no rest.
    :param divisor: of the timer's 1,193,182 ticks a second, for one interrupt; 0 for no interrupts.
    :param text: what `console` writes.
    """

    program: str = "counters"
    first: int = FIRST
    pages: int = 64
    stride: int = 1
    batch: int = 64
    interval: int = 0
    divisor: int = 0
    text: bytes = b"All is well.\n"

    @property
    def fields(self) -> Mapping[str, int]:
        """The fields of its block."""
        return {
            "magic": BLOCK_MAGIC + PROGRAMS.index(self.program),
            "base": self.first * PAGE,
            "end": (self.first + self.pages) * PAGE,
            "size": self.pages * PAGE,
            "pages": self.pages,
            "stride": self.stride * PAGE,
            "batch": self.batch,
            "interval": self.interval,
            "divisor": self.divisor,
            "text": TEXT * PAGE,
            "text_end": TEXT * PAGE + len(self.text),
        }


def registers(vcpu: int, work: Work) -> dict[str, int]:
    """The general registers with which a vcpu begins; the others are 0."""
    _, places = code()
    begin = places[work.program]
    found = {"rbx": block(vcpu), "rsp": stack(vcpu), "rflags": 2, "rip": places["ticking"] if work.divisor else begin}
    own = {
        "counters": {"rdi": work.first * PAGE, "rsi": work.stride * PAGE, "rdx": work.batch},
        "clock": {"rdi": work.first * PAGE, "rsi": work.stride * PAGE},
        "console": {"rsi": TEXT * PAGE},
    }
    return {**found, **own.get(work.program, {}), **({"rax": begin} if work.divisor else {})}
