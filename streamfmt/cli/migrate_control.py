"""Ask a migration how it goes, or change it: its speed, its downtime, its end.

PATH is the socket that was named with --control.  Each command is a line of
JSON on it, {"command": "set-speed", "value": "32m"}, and so is its answer.
"""

from __future__ import annotations

import argparse
import json

from ..engine import control
from ..errors import MigrationError
from . import inputs

EXAMPLES = """commands:
  info                  print all figures of this moment, as JSON
  set-speed SPEED       bytes a second, such as 32m, 100MiB/s, 1Gbit/s or none
  set-downtime TIME     the limit that the policy aims at, such as 20ms
  pause                 stop the guest now, and send what is left
  cancel [WHY]          end the migration; the guest goes on at the source

examples:
  streamfmt migrate control /tmp/control info
  streamfmt migrate control /tmp/control set-speed 100MiB/s

exit status: 0 done; 1 nobody is there, or it refuses; 2 wrong usage
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the control socket")
    parser.add_argument("asked", metavar="COMMAND", choices=control.COMMANDS, help="see below")
    parser.add_argument("value", metavar="VALUE", nargs="?", default="", help="what some commands need")


def run(args: argparse.Namespace) -> int:
    try:
        answer = control.ask(args.path, args.asked, args.value)
    except MigrationError as error:
        inputs.say(f"streamfmt: {error}")
        return 1
    if answer:
        print(json.dumps(answer))
    return 0
