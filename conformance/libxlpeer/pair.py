"""Real `xl migrate` or `xl remus` between two hosts of Xen's own programs, both directions captured.

  pair.py migrate XLFILE OUTDIR [options of xl migrate, such as --live or --debug]
  pair.py remus XLFILE OUTDIR [SECONDS]

XLFILE is an xl save file to start the guest from.  OUTDIR gets to.bin (what the sender wrote), from.bin (what the
receiver wrote) and both logs.  The sender of Remus is killed after SECONDS, 1.5 of them without any, and the receiver
fails over.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from streamfmt.conformance.host import Host
from streamfmt.conformance.kin import children

_OWN = ("FAKEXEN_STATE", "FAKEXEN_ROOT", "FAKEXEN_DM", "XENSTORED_RUNDIR", "XENSTORED_ROOTDIR", "LIBXL_SAVE_HELPER")
_INTERVAL = 200  # milliseconds between checkpoints


def receiver(host: Host, out: Path, *words: str) -> Path:
    """A script for xl to run in ssh's place: the receiver on that host, with copies of what goes each way."""
    own = " ".join(f"{name}={host.environment[name]}" for name in (*_OWN, "LD_PRELOAD"))
    script = host.folder / "receive.sh"
    script.write_text(
        f"#!/bin/bash\nunset LD_PRELOAD\necho $$ >{host.folder}/receiver\n"
        f"exec env {own} {host.program('xl')} -vvv {' '.join(words)} "
        f"2>{out}/receiver.log < <(exec tee {out}/to.bin) > >(exec tee {out}/from.bin)\n"
    )
    script.chmod(0o755)
    return script


def guest(host: Host) -> str:
    """The name of the guest that runs there."""
    return host.run([host.program("xl"), "list"]).stdout.splitlines()[2].split()[0]


def migrate(here: Host, there: Host, out: Path, options: list[str]) -> int | None:
    """Migrate the guest; the sender's status."""
    script = receiver(there, out, "migrate-receive", "-e")
    did = here.run([here.program("xl"), "-vvv", "migrate", *options, "-s", "", guest(here), script], 60)
    (out / "sender.log").write_text(did.log + did.stdout)
    return did.status


def remus(here: Host, there: Host, out: Path, seconds: float) -> int | None:
    """Have checkpoints sent for some seconds, kill the sender, and wait for the failover; None if it had not ended."""
    script = receiver(there, out, "migrate-receive", "-r", "-e")
    words = [here.program("xl"), "-vvv", "remus", "-F", "-u", "-n", "-d", "-e", "-i", str(_INTERVAL), "-s", ""]
    with open(out / "sender.log", "wb") as log:
        sender = subprocess.Popen(
            [*words, guest(here), str(script)], env=here.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    time.sleep(seconds)
    status = sender.poll()
    pid = int((there.folder / "receiver").read_text())
    for own in [*(children(sender.pid) - {pid}), sender.pid]:
        try:
            os.kill(own, signal.SIGKILL)
        except ProcessLookupError:
            pass
    sender.wait()
    end = time.monotonic() + 20
    while pid in children(os.getpid()) and os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < end:
        time.sleep(0.1)
    return status


def main() -> None:
    """Run one of the two, and say where the guest is afterwards."""
    if len(sys.argv) < 4 or sys.argv[1] not in ("migrate", "remus"):
        sys.exit(__doc__)
    verb, file, folder, *options = sys.argv[1:]
    out = Path(folder).resolve()
    out.mkdir(parents=True, exist_ok=True)
    with Host() as here, Host() as there:
        did = here.xl("restore", "-e", Path(file).resolve())
        if did.status:
            sys.exit(did.log)
        if verb == "migrate":
            print("exit", migrate(here, there, out, options))
        else:
            print("exit", remus(here, there, out, float(options[0]) if options else 1.5))
        for name, host in (("sender", here), ("receiver", there)):
            print(name, host.run([host.program("xl"), "list"]).stdout, sep="\n")


if __name__ == "__main__":
    main()
