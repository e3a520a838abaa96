#!/bin/sh
# findings/qemu-isapc-ide.sh: QEMU 5.2 and 7.2 lose the state of one disk channel when an `isapc` machine is migrated.
#
# Both channels are written as device `isa-ide`, instance 0.  A loader gives both states to the first channel: it goes on
# with those of the second, which stays as after a reset.  The migration is said to be completed.  10.0 numbers them 0
# and 1, and each channel gets its own state.
#
# It fetches these versions from the Debian mirror that this machine is set to, into a folder that it removes, and
# installs nothing.  Status 1 if one does otherwise, or cannot be had any more.  It takes python3 and 300 MB.
set -eu
fetch=$(cd "$(dirname "$0")/.." && pwd)/conformance/debian/qemu.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for each in '5.2=bullseye 1:5.2+dfsg-11+deb11u3' '7.2=bookworm 1:7.2+dfsg-7+deb12u18+b3' \
    '10.0=trixie 1:10.0.13+ds-0+deb13u1'; do
    # shellcheck disable=SC2086 # two words
    sh "$fetch" "$dir" $each >/dev/null
done

cat >"$dir/expected" <<'END'
QEMU 1:5.2+dfsg-11+deb11u3
  before: primary 0x11, secondary 0x22
  stream: isa-ide 0, isa-ide 0
  after (completed): primary 0x22, secondary 0x01
QEMU 1:7.2+dfsg-7+deb12u18+b3
  before: primary 0x11, secondary 0x22
  stream: isa-ide 0, isa-ide 0
  after (completed): primary 0x22, secondary 0x01
QEMU 1:10.0.13+ds-0+deb13u1
  before: primary 0x11, secondary 0x22
  stream: isa-ide 0, isa-ide 1
  after (completed): primary 0x11, secondary 0x22
END

cat >"$dir/ask.py" <<'END'
"""ask.py DIR RELEASE...: have a machine write a stream and another load it, and say what the channels have."""
import atexit, json, os, re, socket, struct, subprocess, sys, time

# A register that keeps what is written: how many sectors the next command is about.
COUNTS = {"primary": 0x1F2, "secondary": 0x172}


class Machine:
    def __init__(self, folder, *options):
        root, disk = f"{folder}/root", "if=ide,format=raw,file=null-co://,index="
        places = [f"{root}/usr/lib/x86_64-linux-gnu", f"{root}/lib/x86_64-linux-gnu"]
        loader = next(path for place in places if os.path.exists(path := f"{place}/ld-linux-x86-64.so.2"))
        with open(f"{folder}/rom", "wb") as file:
            file.write(bytes(65536))
        for name in ("monitor", "ports"):
            if os.path.exists(f"{folder}/{name}"):
                os.unlink(f"{folder}/{name}")
        self.process = subprocess.Popen(
            ["timeout", "120", loader, "--library-path", ":".join(places), f"{root}/usr/bin/qemu-system-x86_64", "-S"]
            + ["-M", "isapc", "-m", "1M", "-L", folder, "-bios", f"{folder}/rom", "-nodefaults", "-display", "none"]
            + ["-drive", disk + "0", "-drive", disk + "2", "-qtest-log", "none", *options]
            + ["-qmp", f"unix:{folder}/monitor,server=on,wait=off", "-qtest", f"unix:{folder}/ports,server=on,wait=off"],
            env={**os.environ, "QEMU_MODULE_DIR": f"{places[0]}/qemu"},
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.end)
        self.monitor, self.ports = self.connect(f"{folder}/monitor"), self.connect(f"{folder}/ports")
        self.monitor.readline()
        self.execute("qmp_capabilities")

    def connect(self, path):
        for _ in range(300):
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(path)
                return link.makefile("rw")
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{path}: QEMU does not listen")

    def execute(self, name, **arguments):
        print(json.dumps({"execute": name, "arguments": arguments}), file=self.monitor, flush=True)
        while "event" in (said := json.loads(self.monitor.readline())):
            pass
        return said["return"]

    def migrated(self):
        for _ in range(300):
            status = self.execute("query-migrate").get("status")
            if status in ("completed", "failed"):
                return status
            time.sleep(0.1)
        raise SystemExit("the migration does not end")

    def port(self, *words):
        print(*words, file=self.ports, flush=True)
        return int((self.ports.readline().split() + ["0"])[1], 0)

    def counts(self):
        return ", ".join(f"{name} {self.port('inb', hex(port)):#04x}" for name, port in COUNTS.items())

    def end(self):
        self.process.terminate()
        self.process.wait()


for release in sys.argv[2:]:
    folder = f"{sys.argv[1]}/{release}"
    print("QEMU", open(f"{folder}/version").read().strip())
    source = Machine(folder)
    for port, value in zip(COUNTS.values(), ("0x11", "0x22")):
        source.port("outb", hex(port), value)
    print("  before:", source.counts())
    source.execute("migrate", uri=f"exec:cat >{folder}/stream.part && mv {folder}/stream.part {folder}/stream")
    if (status := source.migrated()) != "completed":
        raise SystemExit(f"the migration is {status}")
    written = time.monotonic() + 30  # QEMU does not wait for the command that it writes to
    while not os.path.exists(f"{folder}/stream"):
        if time.monotonic() > written:
            raise SystemExit("the stream is not written")
        time.sleep(0.1)
    source.end()
    with open(f"{folder}/stream", "rb") as file:
        # A section's type and number; the name; instance and version.
        found = re.finditer(rb"\x04....\x07(isa-ide)(....)\0\0\0\x03", file.read(), re.DOTALL)
    print("  stream:", ", ".join(f"{row[1].decode()} {struct.unpack('>I', row[2])[0]}" for row in found))
    target = Machine(folder, "-incoming", f"exec:cat {folder}/stream")
    print(f"  after ({target.migrated()}): {target.counts()}")
    target.end()
END

python3 "$dir/ask.py" "$dir" 5.2 7.2 10.0 >"$dir/seen" || echo "ended with status $?" >>"$dir/seen"
cat "$dir/seen"
diff "$dir/expected" "$dir/seen"
