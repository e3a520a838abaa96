"""Options of `migrate` about its link: TLS, and memory that goes by descriptor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout

from ..engine import handing
from ..engine.guest.memory import Memory
from ..engine.interface import End, Guest
from ..engine.transport import uris
from ..engine.waiting import Waiter
from . import inputs
from .migrate_shown import Shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..engine.transport.tls import Tls

_FILES = ("certificate", "key", "authority")


def add_tls(parser: argparse.ArgumentParser, sender: bool) -> None:
    """TLS for tcp:, with certificates on both sides."""
    group = parser.add_argument_group("TLS, for tcp:HOST:PORT")
    group.add_argument("--tls-certificate", metavar="FILE", help="what this side shows (PEM)")
    group.add_argument("--tls-key", metavar="FILE", help="its key, not encrypted (PEM)")
    group.add_argument("--tls-authority", metavar="FILE", help="who has signed the other side's certificate (PEM)")
    if sender:
        group.add_argument("--tls-host", metavar="NAME", help="the name in the receiver's (default: the host in URI)")


def add_by_descriptor(parser: argparse.ArgumentParser) -> None:
    """Memory that is not copied."""
    words = "pass the memory itself, over unix:PATH, to a process of this host that is asked for the same"
    parser.add_argument("--by-descriptor", action="store_true", help=words)


def wrong(args: argparse.Namespace) -> str:
    """What is wrong with these options together, empty if nothing is."""
    given = [name for name in _FILES if getattr(args, f"tls_{name}") is not None]
    if given and len(given) < len(_FILES):
        missing = " and ".join(f"--tls-{name}" for name in _FILES if name not in given)
        return f"--tls-{given[0]} needs {missing} beside it"
    if getattr(args, "tls_host", None) and not given:
        return "--tls-host needs --tls-certificate, --tls-key and --tls-authority beside it"
    if not args.by_descriptor:
        return ""
    if getattr(args, "type", "hvm") != "hvm":
        return "--by-descriptor is for HVM guests: page tables of a PV guest have to be rewritten on the way"
    clashes = [name for name in ("qemu", "play") if getattr(args, name, None)]
    return f"--by-descriptor cannot go with --{clashes[0]}" if clashes else ""


def tls(args: argparse.Namespace) -> Tls | None:
    """What was asked for with `add_tls`.

    :raises LinkError: the files do not fit each other.
    """
    if args.tls_certificate is None:
        return None
    from ..engine.transport.tls import Tls  # it takes time and memory that those who have no TLS should not give

    host = getattr(args, "tls_host", None) or ""
    made = Tls(args.tls_certificate, args.tls_key, args.tls_authority, host)
    made.check()
    return made


def hand_over(args: argparse.Namespace, guest: Guest, end: End, waiter: Waiter) -> bool:
    """Pass the guest's memory, if that was asked for; whether it was.

    :raises LinkError: it cannot be passed.
    """
    if args.by_descriptor:
        handing.hand_over(end, guest.descriptor, guest.pages, waiter, waiter.clock() + args.time_out)
    return bool(args.by_descriptor)


def take_over(args: argparse.Namespace, end: End, waiter: Waiter) -> Memory | None:
    """The memory that comes, if that was asked for.

    :raises PeerError: something else comes; GuestError: it cannot be used.
    """
    if not args.by_descriptor:
        return None
    descriptor, _ = handing.take_over(end, waiter, waiter.clock() + args.time_out)
    return Memory.adopt(descriptor)


def printing(*links: str) -> AbstractContextManager[object]:
    """Meanwhile what is printed goes to standard error, if one of the links takes standard output.

    :raises LinkError: one of them is no link.
    """
    read = [uris.parse(link) for link in links]
    taken = {fd for uri in read if isinstance(uri, uris.Descriptors) for fd in (uri.read, uri.write)}
    return redirect_stdout(sys.stderr) if 1 in taken else nullcontext()


def refusing(shown: Shown) -> Callable[[str], None]:
    """What says that somebody was refused who came second."""

    def notice(words: str) -> None:
        shown({"event": "refused", "seconds": 0.0, "what": words})
        if not shown.as_json:
            inputs.say(f"streamfmt: {words}")

    return notice
