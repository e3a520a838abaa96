"""Stand between two ends of a migration, and do to the link what happens to links.

LISTEN is where the sender comes, CONNECT where the receiver is: tcp:HOST:PORT,
unix:PATH, exec:COMMAND, fd:N, or - for standard input and output.  Bytes go
on as they came, in order, unless one of the faults below happens.  A PLACE is
a number of bytes, or a record that passes: BYTES, or RECORD[:NUMBER][+BYTES].
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from ..checks.outcome import Outcome
from ..checks.verifier import Verifier
from ..codec.content import Buffer
from ..engine import orders, places
from ..engine.proxy import Direction, Faults, Proxy
from ..engine.transport import uris
from ..engine.transport.ends import connect, listen
from ..engine.waiting import Waiter
from ..errors import MigrationError
from . import inputs
from .migrate_links import printing, refusing
from .migrate_shown import Recorder, Shown, mebibytes
from .parser import whole
from .verify import add_judging, as_text, severities, targets

EXAMPLES = """examples:
  streamfmt migrate proxy unix:/tmp/a unix:/tmp/b --cut-after PAGE_DATA:3
  streamfmt migrate proxy tcp::4444 tcp:host:4444 --stall-at 64MiB --for 5
  streamfmt migrate proxy tcp::0 unix:/tmp/b --crumbs --verify --json
  streamfmt migrate proxy unix:/tmp/a unix:/tmp/b --swap-at PAGE_DATA:2
  streamfmt migrate proxy unix:/tmp/a unix:/tmp/b --cut-after READY+1 --back
  xl migrate -s "" guest "streamfmt migrate proxy - \\
    'exec:ssh host xl migrate-receive' --cut-after libxl.END"

A place in the direction back has to be in bytes: no records pass there.

exit status: 0 all passed, or what was asked for happened; 1 the link failed,
what was asked for did not happen, or the stream does not conform; 2 wrong
usage; 3 a file cannot be written; 130 interrupted
"""


def _place(text: str) -> places.Place:
    try:
        return places.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _speed(text: str) -> float:
    try:
        return orders.speed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("listen", metavar="LISTEN", help="where the sender comes")
    parser.add_argument("connect", metavar="CONNECT", help="where the receiver is")
    faults = parser.add_argument_group("faults")
    faults.add_argument("--cut-after", metavar="PLACE", type=_place, help="close both ends there")
    faults.add_argument("--reset", action="store_true", help="cut as if both sides had crashed (TCP)")
    faults.add_argument("--stall-at", metavar="PLACE", type=_place, help="let nothing more through there")
    faults.add_argument(
        "--for", dest="seconds", metavar="SECONDS", type=_seconds, help="for so long (default: for ever)"
    )
    faults.add_argument("--speed", metavar="SPEED", type=_speed, default=0.0, help="at most so much, such as 10MiB/s")
    faults.add_argument("--crumbs", action="store_true", help="in pieces of odd sizes, some of them late")
    faults.add_argument("--swap-at", metavar="PLACE", type=_place, help="let two crumbs there change places")
    faults.add_argument("--seed", metavar="N", type=whole, default=0, help="of the crumbs (default: 0)")
    faults.add_argument("--back", action="store_true", help="all this to what the receiver sends")
    seen = parser.add_argument_group("what is seen")
    seen.add_argument("--record", metavar="FILE", help="keep what reached the receiver")
    seen.add_argument("--record-back", metavar="FILE", help="keep what reached the sender")
    seen.add_argument("--verify", action="store_true", help="judge what passes, as verify does")
    seen.add_argument("--json", action="store_true", help="print events and the result as JSON lines")
    inputs.add_form(parser)
    add_judging(parser)
    parser.add_argument(
        "--time-out", metavar="SECONDS", type=_seconds, default=30.0, help="for a connection (default: 30)"
    )


def run(args: argparse.Namespace) -> int:
    shown = Shown("proxy", args.json, quiet=True)
    with ExitStack() as opened:
        opened.callback(shown.close)
        try:
            faults = Faults(args.cut_after, args.stall_at, args.seconds, args.speed, args.crumbs, args.swap_at)
            if args.back and any(place.record for place in faults.places):
                inputs.say("streamfmt migrate proxy: error: a place in the direction back has to be in bytes")
                return 2
            opened.enter_context(printing(args.listen, args.connect))
            return _run(args, faults, shown, opened)
        except MigrationError as error:
            return shown.fail(error)
        except OSError as error:
            shown.fail(error)
            return 3


def _run(args: argparse.Namespace, faults: Faults, shown: Shown, opened: ExitStack) -> int:
    waiter = Waiter()
    opened.callback(waiter.close)
    verifier = Verifier(args.mode, args.deep, severities(args), targets(args)) if args.verify else None
    there, back = (Faults(), faults) if args.back else (faults, Faults())
    forward = Direction(there, verifier, args.form, _record(args.record, opened), args.seed)
    backward = Direction(back, None, record=_record(args.record_back, opened), seed=args.seed)

    listener = listen(args.listen, waiter, waiter.clock() + args.time_out, notice=refusing(shown))
    opened.callback(listener.close)
    shown({"event": "listening", "seconds": 0.0, "uri": str(listener.uri)})
    if not args.json and listener.uri != uris.parse(args.listen):
        inputs.say(f"streamfmt: listening at {listener.uri}")
    left = listener.accept(waiter, None)
    opened.callback(left.close)
    right = connect(args.connect, waiter, waiter.clock() + args.time_out)
    opened.callback(right.close)
    proxy = Proxy(left, right, forward, backward, waiter, args.reset)
    result = proxy.run()
    outcome = None
    if verifier is not None and (passing := forward.passing) is not None:
        outcome = Outcome(passing.reader, verifier, args.strict, passing.failure)
    return _report(args, shown, result.as_dict(), outcome, faults)


def _report(
    args: argparse.Namespace, shown: Shown, result: dict[str, Any], outcome: Outcome | None, faults: Faults
) -> int:
    """Say how it went; the exit status."""
    way = result["back" if args.back else "forward"]
    missed = [
        f"{what} {place} did not happen: {way['bytes']:,} bytes passed"
        for what, place, happened in (
            ("the cut at", faults.cut, result["cut"]),
            ("the stall at", faults.stall, way["stalled"] is not None),
            ("the swap at", faults.swap, way["swapped"] is not None),
        )
        if place is not None and not happened
    ]
    errors = [result[name]["error"] for name in ("forward", "back") if result[name]["error"]]
    wrong = [*missed, *([] if way["stalled"] is not None and args.seconds is None else errors)]
    status = int(bool(wrong))
    if outcome is not None and not result["cut"]:
        status = max(status, outcome.status)
    verdict = {} if outcome is None else {"verified": outcome.as_dict("forward")}
    shown({"event": "result", **result, "missed": missed, **verdict})
    if not args.json:
        for name in ("forward", "back"):
            row = result[name]
            inputs.say(f"streamfmt: {name}: {mebibytes(row['bytes'])} in {row['pieces']:,} pieces")
        if result["cut"]:
            inputs.say(f"streamfmt: cut {result['cut']}")
        for words in dict.fromkeys([*missed, *errors]):
            inputs.say(f"streamfmt: {words}")
        if outcome is not None:
            sys.stderr.write(as_text(outcome, "forward", args, sys.stderr))
    return status


def _record(path: str | None, opened: ExitStack) -> Callable[[Buffer], None] | None:
    """What keeps bytes in a file, if there is one.  Raises OSError."""
    if path is None:
        return None
    recorder = Recorder(path)
    opened.callback(recorder.close)
    return lambda buffer: recorder.see([buffer])
