"""The model of a device behind the three interfaces of VFIO: each arc, each rule, and state that comes through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..engine.vfio import proposal, region, states
from ..engine.vfio.device import BLOCK, PAGE, Device
from ..engine.vfio.proposal_user import User
from ..engine.vfio.region_user import User as RegionUser
from ..errors import DeviceError
from ..render import vfio as document
from ..schema import vfio as schema

SIZE = 32 * BLOCK


def _device(steps: int = 40, pages: int = 8) -> Device:
    device = Device(SIZE, memoryview(bytearray(pages * PAGE)), seed=7)
    device.work(steps)
    return device


def _same(one: Device, other: Device) -> bool:
    """Whether they are alike, and go on alike."""
    if one.digest() != other.digest():
        return False
    one.running = other.running = True
    one.work(17)
    other.work(17)
    return one.digest() == other.digest()


def _refused(clause: str, call: Callable[[], object], device: Device) -> None:
    before = device.digest(), device.running
    with pytest.raises(DeviceError) as error:
        call()
    assert error.value.clause == clause
    assert (device.digest(), device.running) == before


# -- the device -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=15)
def test_the_same_steps_are_the_same_state(first: int, then: int) -> None:
    """Work in two parts is as work in one, and what is written is logged, and no more."""
    one, other = _device(0), _device(0)
    one.work(first)
    memory = bytes(one.memory)
    one.take_blocks(True)
    one.work(then)
    other.work(first + then)

    assert one.digest() == other.digest()
    changed = {at // BLOCK for at in range(SIZE) if memory[at] != one.memory[at]}
    logged = one.take_blocks(True)
    assert all(logged >> block & 1 for block in changed)
    assert one.guest == other.guest


@pytest.mark.parametrize(
    "raw",
    [
        b"\0" * 15,
        b"\0" * 16,
        (64).to_bytes(8, "little") * 2,
        (0).to_bytes(8, "little") + (SIZE * 2).to_bytes(8, "little"),
    ],
)
def test_wrong_chunks_change_nothing(raw: bytes) -> None:
    """A list of chunks that is none is refused as a whole."""
    device = _device()

    _refused("VFIO-MEMORY-DATA", lambda: device.load_chunks(device.chunks(1) + raw), device)


# -- the proposal of 2019 ---------------------------------------------------------------------------------------------


def _user(steps: int = 40, **sizes: int) -> tuple[Device, proposal.Driver, User]:
    device = _device(steps)
    driver = proposal.Driver(device, **sizes)
    return device, driver, User(driver)


def _write(driver: proposal.Driver, name: str, value: int) -> None:
    row = next(row for row in schema.CONTROL if row.name == name)
    driver.write(schema.CTL, row.offset, value.to_bytes(row.size, "little"))


def test_control_structure_is_that_of_a_compiler() -> None:
    """Offsets are those of the fields' sizes and alignment, and nothing is left over."""
    at = 0
    for row in schema.CONTROL:
        # The two parts of a structure inside begin at a multiple of 8, as their largest field does.
        aligned = row.name in ("device_config.action", "device_memory.action")
        at = -(-at // (8 if aligned else row.size)) * (8 if aligned else row.size)
        assert row.offset == at, row.name
        at += row.size
    assert at == schema.CONTROL_SIZE


@pytest.mark.parametrize("before", schema.PROPOSAL_STATES)
@pytest.mark.parametrize("after", schema.PROPOSAL_STATES)
def test_each_state_may_follow_each(before: str, after: str) -> None:
    """All arcs of the proposal are there; a device runs in those states that say so."""
    device, driver, user = _user()
    user.state(before)
    user.state(after)

    assert driver.state == schema.PROPOSAL_STATES[after][0]
    assert device.running == after.startswith("RUNNING")


@pytest.mark.parametrize("region_size", [BLOCK, 100, 4096])
def test_memory_comes_in_chunks_by_position(region_size: int) -> None:
    """Whatever the region's size, and with a last chunk that is shorter."""
    device, _, user = _user(memory=region_size)
    other, _, into = _user(0, memory=region_size)
    user.state("STOP")
    into.state("STOP")
    into.set_memory(user.memory())
    into.set_config(user.config())

    assert _same(device, other)


def test_dirty_memory_is_what_was_written_since() -> None:
    """With LOGGING, running or not, the second time gives the difference alone; positions begin anew."""
    device, _, user = _user()
    other, _, into = _user(0)
    into.state("STOP")
    whole = user.memory()
    into.set_memory(whole)
    user.state("RUNNING+LOGGING")
    device.work(3)
    user.state("STOP+LOGGING")
    dirty = user.memory()
    assert 0 < len(dirty) <= 3 * (BLOCK + 16) < len(whole)
    assert user.memory() == b""
    into.set_memory(dirty)
    into.set_config(user.config())

    assert _same(device, other)


@given(st.integers(0, 30), st.integers(1, 300), st.integers(0, 40), st.sampled_from((1, 8, 64)))
@settings(max_examples=25)
def test_bitmaps_of_any_range_are_cut_to_the_region(first: int, count: int, steps: int, size: int) -> None:
    """All pages of the range that were written are found, none twice, and none without LOGGING."""
    device, _, user = _user(0, bitmap=size)
    user.state("RUNNING+LOGGING")
    device.work(steps)
    written = device.pages

    assert user.pages(first, count) == written & ((1 << count) - 1) << first
    assert user.pages(first, count) == 0
    user.state("RUNNING")
    device.work(40)
    assert user.pages(0, 8) == 0


REFUSED = (
    ("VFIO-P-STATE", "device_state", 4),
    ("VFIO-P-ACTION", "device_config.action", 3),
    ("VFIO-P-ACTION", "device_memory.action", 0),
    ("VFIO-P-CFGSIZE", "device_config.size", 4097),
    ("VFIO-P-POS", "device_memory.pos", 100),
    ("VFIO-P-POS", "device_memory.action", schema.GET_BUFFER),
    ("VFIO-P-SETSTOP", "device_config.action", schema.SET_BUFFER),
    ("VFIO-P-SETSTOP", "device_memory.action", schema.SET_BUFFER),
    ("VFIO-P-MEMSIZE", "device_memory.size", 1 << 40),
    ("VFIO-P-BITMAP", "system_memory.start_addr", 1),
    ("VFIO-P-BITMAP", "system_memory.page_nr", 8 * proposal.BITMAP_SIZE + 1),
    ("VFIO-P-BITMAP", "system_memory.page_nr", 0),
    ("VFIO-P-CONTROL", "version", 1),
)


@pytest.mark.parametrize(("clause", "name", "value"), REFUSED)
def test_what_the_proposal_forbids_is_refused(clause: str, name: str, value: int) -> None:
    """Each with its clause, and nothing has changed."""
    device, driver, _ = _user()

    _refused(clause, lambda: _write(driver, name, value), device)
    assert driver.state == 0


def test_chunks_out_of_order_are_refused() -> None:
    """A chunk that is not the next is none; nor is one beyond the size."""
    device, driver, user = _user(0, memory=128)
    user.state("STOP")
    _write(driver, "device_memory.size", 300)
    _write(driver, "device_memory.pos", 128)
    _refused("VFIO-P-CHUNKS", lambda: _write(driver, "device_memory.action", schema.SET_BUFFER), device)
    _write(driver, "device_memory.pos", 384)
    _refused("VFIO-P-POS", lambda: _write(driver, "device_memory.action", schema.SET_BUFFER), device)


class _Other(proposal.Driver):
    """A driver that says something else of itself."""

    def __init__(self, device: Device, version: int = 1, without: int = 0) -> None:
        super().__init__(device)
        self.version, self.without = version, without

    def sizes(self) -> dict[int, int]:
        return {kind: size for kind, size in super().sizes().items() if kind != self.without}

    def read(self, region: int, offset: int, size: int) -> bytes:
        found = super().read(region, offset, size)
        return self.version.to_bytes(4, "little") if (region, offset, size) == (schema.CTL, 0, 4) else found


@pytest.mark.parametrize("without", schema.REGIONS)
def test_a_device_without_a_region_is_not_migrated(without: int) -> None:
    """One that it must have, or that one of its capabilities needs."""
    with pytest.raises(DeviceError, match="VFIO-P-REGIONS"):
        User(_Other(_device(), without=without))


def test_a_device_of_another_version_is_not_migrated() -> None:
    """It is refused before anything is asked of it."""
    with pytest.raises(DeviceError, match="VFIO-P-VERSION"):
        User(_Other(_device(), version=2))


def test_capabilities_say_what_may_be_asked_for() -> None:
    """A device without them has no memory and no bitmap to give, and still a configuration."""
    device, driver, user = _user(memory=0, bitmap=0)

    assert user.caps == 0
    _refused("VFIO-P-CAPS", lambda: _write(driver, "device_memory.size", 0), device)
    _refused("VFIO-P-CAPS", lambda: _write(driver, "system_memory.page_nr", 1), device)
    assert user.config() == device.config()


# -- v1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", range(9))
@pytest.mark.parametrize("before", [name for name in schema.V1_STATES if name != "ERROR"])
def test_arcs_of_v1(before: str, value: int) -> None:
    """Each legal arc is gone, each other refused with the state as it was."""
    device = _device()
    driver = region.Driver(device)
    user = RegionUser(driver)
    user.state(before)
    names = {number: name for name, number in region.STATES.items()}
    after = names.get(value, "")
    raw = value.to_bytes(4, "little")
    if after == "ERROR" or not after:
        _refused("VFIO1-STATE-VALID", lambda: driver.write(0, raw), device)
    elif after == before:
        driver.write(0, raw)
    elif after not in schema.V1_ARCS[before]:
        _refused("VFIO1-ARC", lambda: driver.write(0, raw), device)
    elif before == "RESUMING":
        with pytest.raises(DeviceError, match="before the registers"):
            driver.write(0, raw)
        assert driver.state == "ERROR"
        driver.reset()
        return
    else:
        driver.write(0, raw)
        assert driver.state == after
        return
    assert driver.state == before


@pytest.mark.parametrize("buffers", [(8192, 8192), (100, 8192), (1000, 60)])
def test_state_by_v1(buffers: tuple[int, int]) -> None:
    """What is pending is read to its end and written in the pieces that the other region has room for."""
    device, other = _device(), _device(0)
    user, into = (RegionUser(region.Driver(one, size)) for one, size in zip((device, other), buffers, strict=True))
    user.state("PRE-COPY")
    into.state("RESUMING")
    while user.pending():
        into.put(user.buffer())
    device.work(5)
    user.state("STOP-AND-COPY")
    assert 0 < user.pending() < 5 * (BLOCK + 16) + 100
    while user.pending():
        into.put(user.buffer())
    user.state("STOPPED")
    into.state("RUNNING")

    assert _same(device, other)


# -- v2 ---------------------------------------------------------------------------------------------------------------

FLAGS = (
    schema.CAN_STOP_COPY,
    schema.CAN_STOP_COPY | schema.CAN_P2P,
    schema.CAN_STOP_COPY | schema.CAN_PRE_COPY,
    states.ALL,
)
# The next state on the way, of all features, as vfio_mig_get_next_state has it: of each state in V2_STATES' order
# without ERROR; 0 if there is no way.
_NEXT = {
    "STOP": "1534555",
    "RUNNING": "5255565",
    "STOP_COPY": "1131100",
    "RESUMING": "1114111",
    "RUNNING_P2P": "1211527",
    "PRE_COPY": "2272267",
    "PRE_COPY_P2P": "5535567",
}
_NUMBERS = {str(number): name for name, (number, _) in schema.V2_STATES.items()}
_NAMES = [name for name in schema.V2_STATES if name != "ERROR"]


@pytest.mark.parametrize("before", _NAMES)
@pytest.mark.parametrize("after", _NAMES)
def test_ways_are_those_of_the_kernel(before: str, after: str) -> None:
    """The first step of each is what Linux has in its table."""
    step = _NEXT[before][_NAMES.index(after)]
    found = schema.way(before, after)

    if step == "0":
        assert found is None
    elif before == after:
        assert found == ()
    else:
        assert found is not None
        assert found[0][0] == _NUMBERS[step]
        assert found[-1][0] == after


def _brought(state: str, flags: int) -> states.Driver | None:
    """A device that is in this state; None if it has no such."""
    if not schema.has(state, flags):
        return None
    driver = states.Driver(_device(), flags)
    driver.set_state(state)
    return driver


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("before", _NAMES)
@pytest.mark.parametrize("after", schema.V2_STATES)
def test_arcs_of_v2(before: str, after: str, flags: int) -> None:
    """Each legal pair is gone, with a session where the state has one; each other is refused, the state unchanged."""
    driver = _brought(before, flags)
    if driver is None:
        return
    steps = None if after == "ERROR" else schema.way(before, after, flags)
    if steps is None:
        _refused("VFIO2-ARC", lambda: driver.set_state(after), driver.device)
        assert driver.state == before
    elif before == "RESUMING" and after != before:
        with pytest.raises(DeviceError, match="before the registers"):
            driver.set_state(after)
        assert driver.state == "ERROR"
        _refused("VFIO2-ARC", lambda: driver.set_state("RUNNING"), driver.device)
        driver.reset()
        assert driver.state == "RUNNING"
    else:
        driver.set_state(after)
        assert driver.state == after
        assert (driver.session is not None) == (after in (*schema.V2_SAVING, "RESUMING"))
        assert driver.device.running == (after in ("RUNNING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P"))


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("piece", [7, 1000, 1 << 20])
def test_state_by_v2(flags: int, piece: int) -> None:
    """One session through pre-copy and its end is one row of bytes, in whatever pieces."""
    device, other = _device(), _device(0)
    driver, into = states.Driver(device, flags), states.Driver(other, flags)
    incoming = into.set_state("RESUMING")
    assert incoming is not None
    if flags & schema.CAN_PRE_COPY:
        session = driver.set_state("PRE_COPY")
        assert session is not None
        assert driver.precopy()[0] > 0
        while (data := driver.read(session, piece)) is not None:
            assert data
            into.write(incoming, data)
        assert driver.precopy() == (0, 0)
        device.work(3)
        assert driver.precopy()[1] > 0
        assert driver.set_state("STOP_COPY") is None
    else:
        session = driver.set_state("STOP_COPY")
    assert session is not None
    while data := driver.read(session, piece):
        into.write(incoming, data)
    assert data == b""
    driver.set_state("STOP")
    into.set_state("RUNNING")

    assert _same(device, other)
    with pytest.raises(DeviceError, match="VFIO2-DATAFD"):
        driver.read(session, 1)


def test_dma_that_is_logged() -> None:
    """Pages are reported once, in the range that is logged, and in P2P none is written."""
    device = _device(0)
    driver = states.Driver(device)
    with pytest.raises(DeviceError, match="VFIO2-LOG"):
        driver.log_report(0, 8)
    driver.log_start(0, 8)
    device.work(12)
    found = driver.log_report(0, 8)
    assert found.bit_count() > 0
    assert driver.log_report(0, 8) == 0
    with pytest.raises(DeviceError, match="VFIO2-LOG"):
        driver.log_report(0, 9)
    driver.set_state("RUNNING_P2P")
    device.work(12)
    assert driver.log_report(0, 8) == 0
    driver.log_stop()


def test_new_first_data_are_said_to_who_asked() -> None:
    """With feature 12 a device that was set up anew says so until that is read; without it nobody is told."""
    for asked in (False, True):
        device, other = _device(), _device(0)
        driver, into = states.Driver(device), states.Driver(other)
        session, incoming = driver.set_state("PRE_COPY"), into.set_state("RESUMING")
        assert session is not None
        assert incoming is not None
        if asked:
            driver.report_reinit()
        while data := driver.read(session, 100):
            into.write(incoming, data)
        assert (driver.precopy()[0], driver.reinit()) == (0, False)
        driver.reconfigured()
        assert (driver.precopy()[0] >= SIZE, driver.reinit()) == (True, asked)
        while data := driver.read(session, 100):
            into.write(incoming, data)
        assert not driver.reinit()
        driver.set_state("STOP_COPY")
        while data := driver.read(session, 100):
            into.write(incoming, data)
        into.set_state("RUNNING")
        assert _same(device, other)


def test_the_document_is_current() -> None:
    """docs/vfio-states.md is what `make generate` writes, and has each state, register and mark."""
    text = document.text()

    assert Path(document.TARGET).read_text() == text
    names = [*schema.V2_STATES, *schema.V1_STATES, *schema.PROPOSAL_STATES]
    names += [row.name for row in (*schema.CONTROL, *schema.V1)] + [row[0] for row in schema.MARKS.values()]
    assert all(f"| {name} |" in text for name in names)
