"""Move a running guest to another process: send it, receive it, or show it all.

Both sides speak the protocol of `xl migrate`, so that Xen's own xl may be at
the other end; with file:PATH a guest is saved or restored, as by xl.
"""

from __future__ import annotations

import argparse

from . import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = """verbs:
  demo      move a guest between two processes, and show how it goes
  receive   wait for a guest, and run it
  send      make a guest, and move it to who waits for it
  control   ask a migration how it goes, or change it
  plan      tell how a migration would go, without moving anything
  proxy     stand between two ends, and cut, stall, slow down or record
  device    be a device that carries its own state, or ask one (vfio-user)

examples:
  streamfmt migrate demo --memory 256MiB --dirty-rate 2000 --working-set 8MiB
  streamfmt migrate receive unix:/tmp/here --run 5
  streamfmt migrate send unix:/tmp/here --policy qemu --downtime 20ms
  streamfmt migrate VERB --help

exit status: 0 done; 1 the guest could not be moved; 2 wrong usage; 3 something
cannot be read or written; 130 interrupted
"""
# The module of each verb, which is imported when it is asked for.
VERBS = {
    "demo": "migrate_demo",
    "receive": "migrate_receive",
    "send": "migrate_send",
    "control": "migrate_control",
    "plan": "migrate_plan",
    "proxy": "migrate_proxy",
    "device": "migrate_device",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="VERB", choices=VERBS, help="what to do; see below")
    parser.add_argument("rest", metavar="...", nargs=argparse.REMAINDER, help="what it takes")


def run(args: argparse.Namespace) -> int:
    from .parser import inner

    module = load(args.what)
    words = inner(f"migrate {args.what}", module).parse_args(args.rest)
    with inputs.Ending():
        return int(module.run(words))


def load(verb: str) -> ModuleType:
    """The module of a verb."""
    from importlib import import_module

    return import_module(f".{VERBS[verb]}", __package__)
