"""What somebody may change while a migration runs: its speed and downtime; that it ends, or that the guest stops now.

The work asks for them between batches of frames, so that they may be changed by a handler that runs while it waits, by
a signal, or by another thread: each is one value, and set in one step.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import CancelledError

# Bytes a second by what QEMU's monitor takes after a number, of either case (migrate_set_speed since QEMU 0.10): powers
# of 1024.
_LETTERS = {"": 1.0, "k": 1024.0, "m": 1024.0**2, "g": 1024.0**3}
# Seconds by what its migrate_set_downtime took (QEMU 0.11 to 5.2); all else is seconds.
_MONITOR_DOWNTIME = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3}
# What we take besides: whole names, which leave no doubt.
_BYTES = {f"{name}iB": 1024.0**power for power, name in enumerate("KMGT", 1)}
_BYTES |= {f"{name}B": 1000.0**power for power, name in enumerate("kMGT", 1)}
_BITS = {f"{name}bit": 1000.0**power / 8 for name, power in (("k", 1), ("M", 2), ("G", 3))}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_WHOLE = re.compile(rf"{_NUMBER} ?([A-Za-z]*)(?:/s)?")
_BEGIN = re.compile(rf"[ \t]*{_NUMBER}(.*)", re.DOTALL)
# Larger numbers of bytes a second are no limit on any link; of seconds, QEMU takes no more either (qapi/migration.json,
# downtime-limit).
SPEED_MAX, DOWNTIME_MAX = 1 << 50, 2000.0


@dataclass(slots=True)
class Orders:
    """What is asked for now: `speed` in bytes a second, 0 for all that the link takes; `downtime` in seconds.

    `cancelled` says why the migration is to end, empty if it is not; `stop` has the guest stop now, so that what is
    left goes while it does.
    """

    speed: float = 0.0
    downtime: float = 0.3
    cancelled: str = ""
    stop: bool = False

    def check(self) -> None:
        """Go on.

        :raises CancelledError: somebody asked for the end.
        """
        if self.cancelled:
            raise CancelledError(self.cancelled)


def speed(text: str) -> float:
    """Bytes a second: a number of bytes, or with k, m or g after it as QEMU's monitor takes it, or with a unit such as
    MiB, MB or Mbit; "none" and 0 are no limit.

    :raises ValueError: it is none of these.
    """
    if text == "none":
        return 0.0
    return _bounded(_measured(text, _SPEEDS, "a speed such as 32m, 100MiB/s, 1Gbit/s or none"), SPEED_MAX, text)


def downtime(text: str) -> float:
    """Seconds: a number of them, or with ms, us or ns after it.

    :raises ValueError: it is neither.
    """
    return _bounded(_measured(text, _TIMES, "a time such as 300ms or 0.3"), DOWNTIME_MAX, text)


_SPEEDS = {name: value for letter, value in _LETTERS.items() for name in (letter, letter.upper())} | _BYTES | _BITS
_TIMES = {"": 1.0, "s": 1.0} | _MONITOR_DOWNTIME


def _measured(text: str, units: dict[str, float], what: str) -> float:
    match = _WHOLE.fullmatch(text)
    if match is None or len(text) > 40 or match[2] not in units:
        raise ValueError(f"{text[:60]!r} is not {what}")
    return float(match[1]) * units[match[2]]


def _bounded(value: float, most: float, text: str) -> float:
    if value > most:
        raise ValueError(f"{text!r} is more than {most:,.0f}")
    return value


def monitor_speed(text: str) -> float:
    """Bytes a second as QEMU's monitor reads them: a number and one letter of k, m, g; whatever else follows is not
    looked at, and the number is bytes.

    :raises ValueError: no number begins it.
    """
    number, after = _begin(text)
    return number * _LETTERS.get(after.lower(), 1.0)


def monitor_downtime(text: str) -> float:
    """Seconds as QEMU's monitor read them: a number and exactly ms, us or ns; with anything else it is seconds.

    :raises ValueError: no number begins it.
    """
    number, after = _begin(text)
    return number * _MONITOR_DOWNTIME.get(after, 1.0)


def _begin(text: str) -> tuple[float, str]:
    match = _BEGIN.match(text[:200])
    if match is None:
        raise ValueError(f"{text[:60]!r} does not begin with a number")
    return float(match[1]), match[2].strip()


def _set_speed(orders: Orders, value: str) -> None:
    orders.speed = speed(value)


def _set_downtime(orders: Orders, value: str) -> None:
    orders.downtime = downtime(value)


def _cancel(orders: Orders, value: str) -> None:
    orders.cancelled = value or "cancelled as asked"


def _pause(orders: Orders, value: str) -> None:
    if value:
        raise ValueError(f"pause takes no value, not {value[:60]!r}")
    orders.stop = True


# What a control socket takes, by its first word; the rest is the value.
CHANGES: dict[str, Callable[[Orders, str], None]] = {
    "set-speed": _set_speed,
    "set-downtime": _set_downtime,
    "cancel": _cancel,
    "pause": _pause,
}


def change(orders: Orders, command: str) -> None:
    """Carry out a command of a control socket, such as "set-speed 32m".

    :raises ValueError: there is no such command, or its value is wrong; nothing is changed then.
    """
    word, _, value = command.strip().partition(" ")
    if word not in CHANGES:
        raise ValueError(f"{word[:60]!r} is none of {', '.join(CHANGES)}")
    CHANGES[word](orders, value.strip())
