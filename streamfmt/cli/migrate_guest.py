"""Which guest is moved or made, and how: options that several verbs of `migrate` have."""

from __future__ import annotations

import argparse
import re

from ..engine import orders, policies, too_fast
from ..engine.configuration import Configuration
from ..engine.guest.kinds import KINDS as REMOTE
from ..engine.guest.makes import KINDS, Ready, Wanted, around, empty, running
from ..engine.guest.memory import Memory
from ..engine.interface import Guest
from ..engine.precopy import Settings
from ..engine.side import Patience
from ..engine.transport.uris import File, parse
from ..errors import GuestError
from .parser import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = 4096
# The type of guests whose memory can be another's as it is: a PV guest's has numbers of the host's frames.
_BY_DESCRIPTOR = "hvm"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
# What stands for as many pages a second as a guest can write.
_MOST = "max"
# Seconds that may be waited, and pages a second.
_SECONDS_LEAST, _SECONDS_MAX, _RATE_MAX = 0.01, 1e6, 1e9
_SIZE = re.compile(r"(\d{1,15})([kmgt]?)(i?b)?", re.IGNORECASE)


def size(text: str) -> int:
    """Bytes: a number with a unit such as MiB, which is a power of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 256MiB")
    return int(match[1]) * _UNITS[match[2].lower()]


def pages(text: str) -> int:
    """Frames of a size, rounded up."""
    return -(-size(text) // _PAGE)


def _number(text: str, least: float, most: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least:g} to {most:,.0f}")
    return value


def seconds(text: str) -> float:
    """A time to let pass, which may be none."""
    return _number(text, 0, _SECONDS_MAX, "a number of seconds")


def limit(text: str) -> float:
    """A time within which something has to happen."""
    return _number(text, _SECONDS_LEAST, _SECONDS_MAX, "a number of seconds")


def rate(text: str) -> float:
    """Pages a second."""
    return float("inf") if text == _MOST else _number(text, 0, _RATE_MAX, "a number of pages a second")


def is_file(uri: str) -> bool:
    """Whether an address is a file's, where nobody answers.  Raises LinkError."""
    return isinstance(parse(uri), File)


def typed(read: Callable[[str], object]) -> Callable[[str], object]:
    """A function that raises ValueError, as argparse wants one whose message it shows."""

    def value(text: str) -> object:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def add_kind(parser: argparse.ArgumentParser) -> None:
    """What serves as a guest here."""
    parser.add_argument(
        "--guest",
        choices=KINDS,
        default="model",
        help="kvm: a virtual machine; process: a process that writes its memory; model: memory and state without a "
        "processor, anywhere (default: %(default)s)",
    )


def add_guest(parser: argparse.ArgumentParser) -> None:
    """What guest is made, and what it does."""
    add_kind(parser)
    parser.add_argument("--type", choices=("hvm", "pv"), default="hvm", help="its type (default: %(default)s)")
    parser.add_argument(
        "--memory", metavar="SIZE", type=pages, default=pages("64MiB"), help="its memory (default: 64MiB)"
    )
    parser.add_argument(
        "--fill", metavar="SIZE", type=pages, default=0, help="memory with random contents (default: none)"
    )
    parser.add_argument("--vcpus", metavar="N", type=whole, default=1, help="its processors (default: %(default)s)")
    parser.add_argument(
        "--dirty-rate",
        metavar="N",
        type=rate,
        default=1000.0,
        help=f"pages it writes a second, or {_MOST} for as many as it can (default: %(default)g)",
    )
    parser.add_argument(
        "--working-set",
        metavar="SIZE",
        type=pages,
        default=pages("1MiB"),
        help="memory that it writes, over and over (default: 1MiB)",
    )
    parser.add_argument(
        "--locality", metavar="NAME", default="loop", help="in which order: loop, scattered, hot (default: %(default)s)"
    )
    parser.add_argument(
        "--console", metavar="TEXT", default="", help="what one more of its vcpus writes to its console, over and over"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of random contents (default: %(default)s)")


def add_way(parser: argparse.ArgumentParser) -> None:
    """How it is moved."""
    listed = ", ".join(policies.shown(row) for row in policies.TABLE)
    remedies = ", ".join(too_fast.shown(row) for row in too_fast.TABLE)
    parser.add_argument(
        "--policy", type=typed(policies.policy), default="xen", help=f"when it is stopped: {listed} (default: xen)"
    )
    parser.add_argument(
        "--if-too-fast",
        metavar="REMEDY",
        dest="too_fast",
        type=typed(too_fast.remedy),
        default="go-on",
        help=f"what to do if it writes faster than the link takes: {remedies} (default: go-on)",
    )
    parser.add_argument(
        "--speed", metavar="SPEED", type=typed(orders.speed), help="bytes a second, such as 32m, 1Gbit/s or none"
    )
    parser.add_argument("--downtime", metavar="TIME", type=typed(orders.downtime), help="the limit, such as 20ms")
    parser.add_argument("--non-live", action="store_true", help="stop it first, then send")
    parser.add_argument("--verify", action="store_true", help="send everything again at the end, to be compared")


def settings(args: argparse.Namespace) -> tuple[Settings, orders.Orders]:
    """What was asked for with `add_way`."""
    begun = args.policy.orders
    if args.speed is not None:
        begun.speed = args.speed
    if args.downtime is not None:
        begun.downtime = args.downtime
    return Settings(args.policy, args.too_fast, args.verify), begun


def add_patience(parser: argparse.ArgumentParser) -> None:
    """How long it waits."""
    parser.add_argument(
        "--time-out",
        metavar="SECONDS",
        type=limit,
        default=Patience().progress,
        help="end it where nothing moves for so long (default: %(default)g)",
    )


def patience(args: argparse.Namespace) -> Patience:
    """What was asked for with `add_patience`."""
    return Patience(args.time_out, args.time_out, 2 * args.time_out, 2 * args.time_out)


def made(args: argparse.Namespace) -> Guest:
    """The guest that was asked for with `add_guest`, running.  Raises GuestError."""
    wanted = Wanted(
        args.type,
        args.memory,
        args.vcpus,
        args.fill,
        args.working_set,
        args.dirty_rate,
        args.locality,
        args.seed,
        text=args.console,
    )
    return running(args.guest, wanted)


def maker(kind: str, memory: Memory | None = None, ready: Ready | None = None) -> Callable[[str, Configuration], Guest]:
    """What makes guests of a kind for a receiver; around memory that is there already, if it is.

    A guest of a process is made at once then: the source's runs until the first bytes of its state are asked for.
    """
    early = around(kind, _BY_DESCRIPTOR, memory, ready=ready) if memory is not None and kind in REMOTE else None

    def make(image: str, config: Configuration) -> Guest:
        if memory is None:
            return empty(kind, image, config.pages, config.vcpus, ready=ready)
        if image != _BY_DESCRIPTOR:
            raise GuestError("memory came by descriptor, which is for HVM guests")
        if memory.pages != config.pages:
            raise GuestError(f"the memory that came has {memory.pages:,} pages, and the guest {config.pages:,}")
        return early or around(kind, image, memory, config.vcpus)

    return make
