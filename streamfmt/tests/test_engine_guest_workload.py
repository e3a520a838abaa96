"""What guests run: assembled as the processor has it, and an invariant that shows a page lost or repeated."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from math import gcd
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ..engine.guest import assembler as asm
from ..engine.guest import programs, workload
from ..engine.guest.memory import PAGE, Memory
from ..engine.guest.programs import Work
from ..errors import GuestError

PAGES = 64


def after(memory: Memory, work: Work, done: int) -> dict[str, int]:
    """Have memory be as it is after so many pages, and say the registers then."""
    for number in range(work.pages):
        frame = work.first + number * work.stride % work.pages
        count = (done + work.pages - 1 - number) // work.pages
        if count:
            for at, size, value in (
                (programs.COUNT, 4, count),
                (programs.OWN, 8, frame * PAGE),
                (programs.COUNT_AGAIN, 4, count),
            ):
                memory.view[frame * PAGE + at : frame * PAGE + at + size] = value.to_bytes(size, "little")
    place = (work.first + done % work.pages * work.stride % work.pages) * PAGE
    return {
        **programs.registers(0, work),
        "rdi": place,
        "rbp": done & 0xFFFFFFFF,
        "rcx": done >> 32,
        "rip": programs.code()[1]["page"],
    }


@st.composite
def runs(draw: st.DrawFn) -> tuple[Work, int]:
    """A work, and how many pages it has written."""
    pages = draw(st.integers(2, 40))
    stride = draw(st.integers(1, pages - 1))
    assume(gcd(pages, stride) == 1)
    first = draw(st.integers(programs.FIRST, PAGES - pages))
    return Work(first=first, pages=pages, stride=stride), draw(st.integers(0, 5 * pages))


@settings(max_examples=40)
@given(run=runs(), page=st.integers(0, 63), change=st.sampled_from(["lost", "repeated", "moved", "torn", "registers"]))
def test_a_page_of_another_moment_shows(run: tuple[Work, int], page: int, change: str) -> None:
    """Nothing is said of a sound guest; a page that is older, newer, elsewhere or half written is named."""
    work, done = run
    memory = Memory(PAGES)
    try:
        workload.prepare(memory, [work])
        registers = after(memory, work, done)
        assert workload.broken(memory, [registers]) == []
        number = (done + 1 + page % (work.pages - 1)) % work.pages  # any but the one that is written now
        frame = work.first + number * work.stride % work.pages
        view = memory.view[frame * PAGE : (frame + 1) * PAGE]
        count = int.from_bytes(view[:4], "little")
        if change == "registers":
            place = work.first + (done + 2) % work.pages * work.stride % work.pages
            registers = {**registers, "rbp": done + 2, "rdi": place * PAGE}
        elif change == "moved":
            assume(count)
            view[programs.OWN : programs.OWN + 8] = (frame * PAGE + PAGE).to_bytes(8, "little")
        else:
            value = ((count - 1 if change == "lost" else count + 1) & 0xFFFFFFFF).to_bytes(4, "little")
            view[:4] = value
            if change != "torn":
                view[programs.COUNT_AGAIN :] = value
        view.release()
        assert workload.broken(memory, [registers])
    finally:
        memory.close()


def test_many_pages_are_not_all_named() -> None:
    """A few are, and how many more there are."""
    memory = Memory(PAGES)
    work = Work(pages=40)
    workload.prepare(memory, [work])
    registers = after(memory, work, 0)

    found = workload.broken(memory, [{**registers, "rbp": 80}])

    assert len(found) == 6
    assert "more" in found[-1]
    memory.close()


def test_a_number_in_two_registers_has_a_moment_between() -> None:
    """Where the lower half has come round and the upper one has not followed yet, which its place says."""
    memory = Memory(PAGES)
    work = Work(pages=31, stride=3)
    workload.prepare(memory, [work])
    registers = {**after(memory, work, 1 << 32), "rcx": 0, "rbp": 0}
    places = programs.code()[1]

    for place in (places["added"], places["carry"]):
        assert workload.broken(memory, [{**registers, "rip": place}]) == []
    assert workload.broken(memory, [registers])
    assert workload.broken(memory, [{**registers, "rcx": 1}]) == []
    memory.close()


def test_a_guest_without_programs_is_broken() -> None:
    """Memory that never arrived says of no program what it is."""
    memory = Memory(PAGES)

    assert "no program" in workload.broken(memory, [{}])[0]
    assert workload.gap(memory) is None
    memory.close()


WRONG = {
    "no vcpu": [],
    "too many vcpus": [Work("idle")] * 17,
    "a program that is not there": [Work("none")],
    "frames of the programs": [Work(first=3)],
    "frames that are not there": [Work(first=60, pages=10)],
    "no pages": [Work(pages=0)],
    "a stride that does not meet all": [Work(pages=8, stride=2)],
    "a stride that is too long": [Work(pages=8, stride=9)],
    "two that write the same": [Work(pages=8), Work(first=20, pages=8)],
    "a timer of a second vcpu": [Work("idle"), Work(pages=8, divisor=100)],
    "a batch of none": [Work(pages=8, batch=0)],
    "a text that is too long": [Work("console", text=b"x" * (PAGE + 1))],
}


@pytest.mark.parametrize("works", WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_run_is_refused(works: list[Work]) -> None:
    """Before anything is made."""
    memory = Memory(PAGES)

    with pytest.raises(GuestError):
        workload.prepare(memory, works)
    assert not memory.populated()
    memory.close()


def _source() -> Iterator[str]:
    """Instructions of this assembler, as the system's takes them."""
    yield from (f"mov {name}, [ebx+0x10]" for name in ("eax", "ecx", "edx", "ebp", "esi", "edi"))
    yield "mov [edi+0xffc], eax"
    yield "mov al, [ebx+0x58]"
    yield "inc dword ptr [edi+0]"
    yield "cmp edi, [ebx+0x10]"
    yield "sub edi, [ebx+0x18]"
    yield "cmp dword ptr [ebx+0x38], 0"
    yield from ("mov edx, eax", "add edi, esi", "test eax, eax", "inc ebp", "dec edx", "push eax", "pop eax")
    yield from ("mov al, 0x11", "in eax, 0xea", "out 0xec, eax", "out 0xe9, al", "push dword ptr [esp+12]")
    yield from ("retf 4", "hlt", "sti", "popf", "ret")


def test_instructions_are_those_of_the_manual(tmp_path: Path) -> None:
    """The system's assembler makes the same of the same instructions."""
    if not (shutil.which("as") and shutil.which("objcopy")):
        pytest.skip("the system has no assembler")
    registers = (asm.EAX, asm.ECX, asm.EDX, asm.EBP, asm.ESI, asm.EDI)
    ours = b"".join(asm.load(register, asm.EBX, 0x10) for register in registers)
    ours += asm.store(asm.EDI, 0xFFC, asm.EAX) + asm.load_byte(asm.EBX, 0x58) + asm.increment_word(asm.EDI)
    ours += asm.compare(asm.EDI, asm.EBX, 0x10) + asm.subtract(asm.EDI, asm.EBX, 0x18) + asm.compare_zero(asm.EBX, 0x38)
    ours += asm.move(asm.EDX, asm.EAX) + asm.add(asm.EDI, asm.ESI) + asm.test(asm.EAX) + asm.increment(asm.EBP)
    ours += asm.decrement(asm.EDX) + asm.push(asm.EAX) + asm.pop(asm.EAX) + asm.set_byte(0x11) + asm.read_port(0xEA)
    ours += asm.write_port(0xEC) + asm.write_port_byte(0xE9) + asm.push_from_stack(12) + asm.far_return(4)
    ours += asm.HALT + asm.ENABLE_INTERRUPTS + asm.POP_FLAGS + asm.RETURN
    source, linked, plain = tmp_path / "a.s", tmp_path / "a.o", tmp_path / "a.bin"
    source.write_text(".intel_syntax noprefix\n.code32\n" + "\n".join(_source()) + "\n")
    subprocess.run(["as", "--32", "-o", linked, source], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", linked, plain], check=True)

    theirs = plain.read_bytes()

    # One instruction has two encodings: ours keeps the place of an offset that is 0.
    assert ours.replace(b"\xff\x47\x00", b"\xff\x07") == theirs


def test_labels_are_places_and_jumps_reach_them() -> None:
    """Forward and back; one that is too far away does not assemble."""
    code, places = asm.assemble(
        [asm.Label("a"), b"\x90", asm.Jump("", "b"), asm.Jump("zero", "a"), asm.Label("b")], 0x1000
    )

    assert places == {"a": 0x1000, "b": 0x1005}
    assert code == b"\x90\xeb\x02\x74\xfb"
    with pytest.raises(OverflowError):
        asm.assemble([asm.Jump("", "far"), bytes(200), asm.Label("far")], 0)
    assert len(programs.code()[0]) < PAGE
