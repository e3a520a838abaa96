"""What somebody may change while a migration runs, and how values are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..engine import orders
from ..engine.orders import Orders, change
from ..errors import CancelledError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("32m", 32 << 20),
        ("32M", 32 << 20),
        ("1g", 1 << 30),
        ("1.5k", 1536),
        ("1000", 1000),
        ("100MiB/s", 100 << 20),
        ("100 MB/s", 100e6),
        ("1Gbit/s", 125e6),
        ("1Gbit", 125e6),
        ("none", 0),
        ("0", 0),
        (".5k", 512),
    ],
)
def test_speeds(text: str, value: float) -> None:
    """Bytes a second, as the monitor takes them, or with a unit."""
    assert orders.speed(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k",
        "-1",
        "1x",
        "1e9",
        "nan",
        "inf",
        "0x10",
        "1 mm",
        "1Mb",
        "9" * 400,
        "1024t" * 2,
        "2048TiB",
        "٣m",
        "1m\n",
        None,
    ],
)
def test_what_is_no_speed(text: str | None) -> None:
    """It says what is wrong, and one that is written otherwise is not guessed at."""
    with pytest.raises(ValueError, match=r"is not a speed|is more than"):
        orders.speed("" if text is None else text)


@pytest.mark.parametrize(
    ("text", "value"), [("300ms", 0.3), ("0.3", 0.3), ("2s", 2), ("50us", 50e-6), ("7ns", 7e-9), ("1 ms", 1e-3)]
)
def test_downtimes(text: str, value: float) -> None:
    """Seconds, or with a unit."""
    assert orders.downtime(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "ms", "-1", "1m", "2001", "1h", "nan"])
def test_what_is_no_downtime(text: str) -> None:
    """Neither is taken for one in seconds."""
    with pytest.raises(ValueError, match=r"is not a time|is more than"):
        orders.downtime(text)


@pytest.mark.parametrize(
    ("text", "value"), [("32m", 32 << 20), ("1G", 1 << 30), ("4 k", 4096), ("5x", 5), ("5mb", 5), ("10", 10)]
)
def test_the_monitors_speeds(text: str, value: float) -> None:
    """QEMU's monitor took one letter, and for anything else the number alone."""
    assert orders.monitor_speed(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("30ms", 0.03), ("100us", 1e-4), ("5ns", 5e-9), ("2", 2), ("2MS", 2), ("3 minutes", 3)]
)
def test_the_monitors_downtimes(text: str, value: float) -> None:
    """It took ms, us and ns, and anything else for seconds."""
    assert orders.monitor_downtime(text) == pytest.approx(value)


def test_the_monitors_numbers_begin() -> None:
    """Without a number there is no value."""
    with pytest.raises(ValueError, match="does not begin with a number"):
        orders.monitor_speed("m")
    with pytest.raises(ValueError, match="does not begin with a number"):
        orders.monitor_downtime("fast")


def test_commands_change_orders() -> None:
    """Each command of a control socket changes what it is about, and nothing else."""
    found = Orders(1.0, 2.0)
    change(found, "set-speed 32m")
    assert found == Orders(32 << 20, 2.0)
    change(found, " set-downtime  20ms\n")
    assert found == Orders(32 << 20, 0.02)
    change(found, "pause")
    assert found == Orders(32 << 20, 0.02, stop=True)
    found.check()
    change(found, "cancel the host is wanted")
    with pytest.raises(CancelledError, match="the host is wanted"):
        found.check()


@given(
    st.text(max_size=30) | st.sampled_from(["set-speed", "set-speed fast", "set-downtime 1h", "pause now", "info", ""])
)
def test_wrong_commands_change_nothing(text: str) -> None:
    """Whatever somebody sends to a control socket, it is carried out or refused."""
    found = Orders()
    try:
        change(found, text)
    except ValueError:
        assert found == Orders()
    else:
        assert text.split(maxsplit=1)[0] in orders.CHANGES
