"""Let QEMU load a migration of one block of zero pages, and end it: ``python qemu_load.py STREAM MODULES QEMU...``.

MODULES is the folder of QEMU's modules, "" for where it looks itself; QEMU... are the words that start it.
A process of its own, which imports nothing of this project: what it takes is QEMU's time.
"""

from __future__ import annotations

import json
import os
import sys
from subprocess import PIPE, Popen

_WORD, _PAGE = 9, 4096
_MIB = 1 << 20


def main(path: str, modules: str, *qemu: str) -> int:
    """Load the stream; 0 if QEMU says that it has."""
    # The stream is little more than its words, and a machine's memory is whole MiB.
    memory = round(os.path.getsize(path) // _WORD * _PAGE / _MIB) * _MIB
    machine = ("-M", "none", "-m", f"{memory}B", "-accel", "tcg", "-S")
    quiet = ("-nodefaults", "-display", "none", "-qmp", "stdio", "-incoming", "defer")
    named = {**os.environ, "QEMU_MODULE_DIR": modules} if modules else None
    with (
        open(os.devnull, "wb") as nowhere,
        Popen((*qemu, *machine, *quiet), env=named, stdin=PIPE, stdout=PIPE, stderr=nowhere, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        capability = {"capability": "events", "state": True}
        for command, arguments in (
            ("qmp_capabilities", {}),
            ("migrate-set-capabilities", {"capabilities": [capability]}),
            ("migrate-incoming", {"uri": f"exec:cat '{path}'"}),
        ):
            process.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        process.stdin.flush()
        status = ""
        for line in process.stdout:
            event = json.loads(line)
            if event.get("event") == "MIGRATION" and event["data"]["status"] in ("completed", "failed"):
                status = event["data"]["status"]
                process.stdin.write('{"execute": "quit"}\n')
                process.stdin.flush()
        return int(status != "completed")


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
