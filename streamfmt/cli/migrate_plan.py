"""Say what a migration would be, without moving a byte: its rounds, how long it
takes, for how long the guest stands, and whether it comes to an end.

The policies are those of real migrations.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ..engine import policies, too_fast
from ..engine.checkpointing import plan as checkpoints
from ..engine.orders import downtime, speed
from ..engine.plan import Guest, Link, Plan, plan
from ..engine.plan_dirty import Recorded, Writer, size, writer
from ..engine.precopy import PAGE, Settings
from ..errors import UnwritableError
from ..io.sources import drive, reason
from . import inputs
from .parser import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..engine.plan_stream import PassSets
    from ..io.sources import Driven, Source

FORMAT = "streamfmt-plan-1"
_MODELS = "none, uniform:SIZE@RATE, loop:SIZE@RATE or hot:SIZE@RATE; RATE is pages a second, or bytes such as 80MiB/s"
_LINK = "1Gbit/s"
_INTERVALS_MAX = 100
EXAMPLES = """examples:
  streamfmt migrate plan --memory 4GiB --dirty uniform:64MiB@20000
  streamfmt migrate plan --memory 1GiB --link 10Gbit/s,200us --policy qemu
  streamfmt migrate plan --memory 1GiB --dirty loop:8MiB@100MiB/s \\
      --policy qemu-2009 --if-too-fast refuse --figure rounds.svg
  streamfmt migrate plan --memory 1GiB --dirty loop:8MiB@2000 \\
      --link 10Gbit/s,100us --remus 5ms,25ms,200ms
  streamfmt migrate plan --from-stream guest.sav --recorded-at 1Gbit/s \\
      --link 100Mbit/s --json

exit status: 0 the guest would be moved; 1 it would not, or the stream cannot
be read; 2 wrong usage; 3 could not read or write
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--memory", metavar="SIZE", type=_value(size), help="of the guest, such as 1GiB")
    parser.add_argument("--used", metavar="SIZE", type=_value(size), help="memory that has contents (default: all)")
    parser.add_argument("--dirty", metavar="MODEL", action="append", default=[], help=f"how it is written: {_MODELS}")
    parser.add_argument(
        "--from-stream", metavar="FILE", help="memory and how it is written as a recorded stream shows it"
    )
    parser.add_argument(
        "--recorded-at",
        metavar="SPEED",
        type=_value(speed),
        help="bytes a second at which that stream was sent (default: that of --link)",
    )
    parser.add_argument(
        "--link",
        metavar="SPEED[,LATENCY]",
        type=_link,
        default=_link(_LINK),
        help=f"default: {_LINK}; such as 10Gbit/s,1ms",
    )
    parser.add_argument(
        "--policy", metavar="POLICY", type=_value(policies.policy), help="when it stops: " + _named(policies)
    )
    parser.add_argument(
        "--speed", metavar="SPEED", type=_value(speed), help="limit, such as 32m (default: the policy's)"
    )
    parser.add_argument(
        "--downtime", metavar="TIME", type=_value(downtime), help="limit, such as 300ms (default: the policy's)"
    )
    parser.add_argument(
        "--if-too-fast",
        metavar="REMEDY",
        type=_value(too_fast.remedy),
        help="what is done about a guest that writes too fast: " + _named(too_fast) + " (default: go-on)",
    )
    words = "checkpoints at such intervals, such as 5ms,25ms,200ms: how many a second, and what they cost"
    parser.add_argument("--remus", metavar="TIMES", type=_intervals, default=[], help=words)
    parser.add_argument("--colo", metavar="TIMES", type=_intervals, default=[], help="likewise, of COLO")
    parser.add_argument("--verify", action="store_true", help="everything once more at the end, to be compared")
    parser.add_argument("--seed", metavar="N", type=whole, default=0, help="the same seed gives the same plan")
    parser.add_argument("--figure", metavar="OUT", help="draw the rounds into an SVG file")
    parser.add_argument("--json", action="store_true", help="print JSON; streamfmt help json describes it")


def _named(module: Any) -> str:
    return ", ".join(module.shown(row) for row in module.TABLE)


def _value(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """An option's value by a function that raises ValueError, whose words argparse would lose."""

    def parsed(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _link(text: str) -> Link:
    """A link's speed and latency."""
    first, _, second = text.partition(",")
    try:
        bandwidth, latency = speed(first), downtime(second) if second else 0.0
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not bandwidth:
        raise argparse.ArgumentTypeError("a link has a speed, such as 1Gbit/s")
    return Link(bandwidth, latency)


def _intervals(text: str) -> list[float]:
    """Times, with commas between them."""
    try:
        found = [downtime(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if len(found) > _INTERVALS_MAX:
        raise argparse.ArgumentTypeError(f"{len(found)} intervals; {_INTERVALS_MAX} are the most")
    return found


class _MisuseError(Exception):
    """What is wrong with the arguments."""


def run(args: argparse.Namespace) -> int:
    if args.figure == "-":
        inputs.say("streamfmt migrate plan: error: --figure takes the name of a file")
        return 2
    recorded, status = None, 0
    if args.from_stream is not None:
        recorded, status = _read(args.from_stream)
        if recorded is None:
            return status
    try:
        guest = _guest(args, recorded)
    except (ValueError, _MisuseError) as error:
        inputs.say(f"streamfmt migrate plan: error: {error}")
        return 2
    policy = args.policy or policies.policy("xen")
    orders = policy.orders
    orders.speed = orders.speed if args.speed is None else args.speed
    orders.downtime = orders.downtime if args.downtime is None else args.downtime
    settings = Settings(policy, args.if_too_fast or too_fast.remedy("go-on"), args.verify)
    found = plan(guest, args.link, settings, orders)
    status = max(status, int(bool(found.error)))
    rows = _checkpoints(args, recorded)
    if args.json:
        words = _as_dict(args, guest, policy, orders.speed, orders.downtime, found, status)
        print(json.dumps(words | {"checkpoints": [_row(row) for row in rows]}))
    else:
        from ..engine.plan_text import text

        for line in text(about(args, guest, policy.name), found):
            print(inputs.fitted(line))
        for kind in dict.fromkeys(row.kind for row in rows):
            print(f"then {kind}:", *checkpoints.text([row for row in rows if row.kind == kind]), sep="\n")
    if args.figure:
        status = max(status, _draw(args.figure, about(args, guest, policy.name), found))
    return status


def _checkpoints(args: argparse.Namespace, recorded: PassSets | None) -> list[checkpoints.Planned]:
    """What checkpoints would be, once the guest is there: a guest of its own for each, which begins to write anew."""
    asked = [(checkpoints.REMUS, each) for each in args.remus] + [(checkpoints.COLO, each) for each in args.colo]
    return [checkpoints.planned(_guest(args, recorded), args.link, *each) for each in asked]


def _row(row: checkpoints.Planned) -> dict[str, Any]:
    return asdict(row) | {"rate": row.rate, "overhead": row.overhead, "delay": row.delay}


def _guest(args: argparse.Namespace, recorded: PassSets | None) -> Guest:
    """The guest that the options describe.  Raises ValueError, _MisuseError."""
    writers: list[Writer] = []
    pages, used = args.memory, args.used
    if recorded is not None:
        passes = recorded.sets()
        there = recorded.used | (passes[0] if passes else 0)
        pages = pages or max(there.bit_length(), 1)
        used = used or max(recorded.used.bit_count(), 1)
        at = args.recorded_at or args.link.bandwidth
        writers.append(Recorded(passes, at / PAGE))
        if recorded.beyond or pages < there.bit_length():
            raise _MisuseError("the stream has frames beyond the memory that there is")
    if pages is None:
        raise _MisuseError("say what is to be moved: --memory SIZE, or --from-stream FILE")
    for words in args.dirty:
        writers += writer(words, pages, args.seed)
    used = pages if used is None else used
    if used > pages:
        raise _MisuseError("--used is more than --memory")
    return Guest(pages, used, writers)


def _read(name: str) -> tuple[PassSets | None, int]:
    """What a stream shows, None if it shows nothing, and the exit status."""
    from ..engine.plan_stream import PassSets

    numbers = PassSets()

    def by(pump: Driven, source: Source, progress: Callable[[int], None] | None) -> None:
        numbers.reading(source)
        drive(pump, source, progress)

    failure = inputs.run_reader(name, numbers.reader, by=by)
    numbers.end()
    if failure is not None:
        inputs.complain(name, failure)
        return None, failure.status
    damage = numbers.failure or numbers.damage
    if damage is not None:
        inputs.complain(name, f"it does not show all of a guest: {damage}")
        return None, 1
    if not numbers.passes.count:
        inputs.complain(name, "there is no memory of a guest in it")
        return None, 1
    return numbers, 0


def about(args: argparse.Namespace, guest: Guest, policy: str) -> str:
    """What is planned, in a line."""
    from ..engine.figure import memory

    by = ", ".join(args.dirty) or ("none" if args.from_stream is None else "as in " + inputs.shown(args.from_stream))
    return f"{memory(guest.pages)}, written: {by}; {_rate(args.link)}; policy {policy}"


def _rate(link: Link) -> str:
    from ..engine.figure import seconds
    from ..render.stats import size as shown

    return f"link {shown(int(link.bandwidth))}/s" + (f" and {seconds(link.latency)}" if link.latency else "")


def _as_dict(
    args: argparse.Namespace,
    guest: Guest,
    policy: policies.Policy,
    limit: float,
    downtime_limit: float,
    found: Plan,
    status: int,
) -> dict[str, Any]:
    """The plan as spec/json/plan.json describes it."""
    figures = asdict(found.statistics)
    figures["rounds"] = [asdict(row) for row in found.statistics.rounds]
    return {
        "format": FORMAT,
        "status": status,
        "policy": policy.name,
        "speed": limit,
        "downtime_limit": downtime_limit,
        "link": asdict(args.link),
        "memory": guest.pages * PAGE,
        "used": guest.used * PAGE,
        "dirty": args.dirty,
        "from_stream": None if args.from_stream is None else inputs.shown(args.from_stream),
        "converges": found.met,
        "why": found.why,
        "error": found.error or None,
        "total": found.total,
        "statistics": figures,
    }


def _draw(path: str, words: str, found: Plan) -> int:
    """Write the picture; the exit status."""
    from ..engine.figure import drawn
    from ..io.outputs import write

    try:
        write(path, drawn(found.statistics, "A planned migration", words).encode())
    except OSError as error:
        inputs.complain(path, f"cannot write: {UnwritableError(reason(error))}")
        return 3
    return 0
