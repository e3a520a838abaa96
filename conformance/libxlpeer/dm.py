#!/usr/bin/python3 -IS
"""A device model that does nothing but answer, for libxl to start in QEMU's place.

It says in xenstore that it runs, takes its state from -incoming, gives that back to xen-save-devices-state, and notes
what it was given in dm-DOMID.json, next to a log of what it was asked (dm-DOMID.qmp).  It takes any state: a real QEMU
would refuse many.  DM_SAVE in the environment names a file whose contents it saves instead.
"""

import itertools
import json
import os
import re
import socket
import struct
import sys
import threading

ROOT = os.environ["FAKEXEN_ROOT"]
# What there is of a state before any was restored: QEMU's magic and version.
NO_STATE = b"QEVM\0\0\0\3"
_KEPT = 4096
_XS_WRITE, _XS_HEADER = 11, struct.Struct("=4I")
_VERSION = {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}
_ANSWERS = {
    "query-status": {"status": "running", "running": True, "singlestep": False},
    "query-version": _VERSION,
    "query-chardev": [],
    "query-cpus-fast": [],
    "query-vnc": {"enabled": False},
}


def say_running(domid: str) -> None:
    """Answer libxl through xenstore; a request is a type, two ids, a length, the path, a NUL and the value."""
    body = f"/local/domain/0/device-model/{domid}/state".encode() + b"\0running"
    with socket.socket(socket.AF_UNIX) as store:
        store.connect(f"{os.environ['XENSTORED_RUNDIR']}/socket")
        store.sendall(_XS_HEADER.pack(_XS_WRITE, 0, 0, len(body)) + body)
        store.recv(_XS_HEADER.size)


class Model:
    """The device model of one domain: the state it was given, and what QMP has handed to it."""

    def __init__(self, args: list[str]) -> None:
        self.domid = args[args.index("-xen-domid") + 1]
        self.note: dict[str, object] = {"pid": os.getpid(), "args": args}
        self.state: bytes | None = None
        self.fdsets: list[int] = []
        self.listeners: list[socket.socket] = []
        for flag, value in itertools.pairwise(args):
            if flag == "-incoming":
                self._incoming(value)
            elif flag == "-chardev":
                self._listen(dict(part.partition("=")[::2] for part in value.split(",")))

    def _incoming(self, value: str) -> None:
        self.note["incoming"] = value
        found = re.fullmatch(r"fd:(\d+)", value)
        if found:
            with open(int(found[1]), "rb") as file:
                self.state = file.read()
            self.note["length"] = len(self.state)
            self.note["state"] = self.state[:_KEPT].hex()

    def _listen(self, options: dict[str, str]) -> None:
        if "fd" in options:
            self.listeners.append(socket.socket(fileno=int(options["fd"])))
        elif "path" in options:
            path = ROOT + options["path"]
            if os.path.exists(path):
                os.unlink(path)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen()
            self.listeners.append(listener)

    def save(self, filename: str) -> None:
        """Write the state where QMP says: a file, or a descriptor that was added."""
        data = NO_STATE if self.state is None else self.state
        if "DM_SAVE" in os.environ:
            with open(os.environ["DM_SAVE"], "rb") as file:
                data = file.read()
        found = re.fullmatch(r"/dev/fdset/(\d+)", filename)
        if found:
            os.write(self.fdsets[int(found[1]) - 1], data)
        else:
            with open(ROOT + filename, "wb") as file:
                file.write(data)

    def answer(self, question: dict[str, object]) -> object:
        """What QMP's command returns here."""
        name, arguments = question["execute"], question.get("arguments")
        if name == "add-fd":
            return {"fdset-id": len(self.fdsets), "fd": self.fdsets[-1]}
        if name == "xen-save-devices-state" and isinstance(arguments, dict):
            self.save(arguments["filename"])
        return _ANSWERS.get(str(name), {})

    def serve(self, client: socket.socket) -> None:
        """Talk QMP until the other side has enough."""
        client.sendall(json.dumps({"QMP": {"version": _VERSION, "capabilities": []}}).encode() + b"\r\n")
        pending = b""
        while True:
            data, fds, _, _ = socket.recv_fds(client, 65536, 4)
            if not data:
                return
            self.fdsets += fds
            *lines, pending = (pending + data).split(b"\n")
            for line in filter(bytes.strip, lines):
                question = json.loads(line)
                with open(f"{ROOT}/dm-{self.domid}.qmp", "a") as log:
                    log.write(json.dumps(question) + "\n")
                answer = {"return": self.answer(question)} | ({"id": question["id"]} if "id" in question else {})
                client.sendall(json.dumps(answer).encode() + b"\r\n")

    def accept(self, listener: socket.socket) -> None:
        """Serve whatever connects, each in a thread."""
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def run(self) -> None:
        """Note what there is, say that it runs, and answer for two minutes."""
        with open(f"{ROOT}/dm-{self.domid}.json", "w") as file:
            json.dump(self.note, file)
        for listener in self.listeners:
            threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
        say_running(self.domid)
        threading.Event().wait(120)


if __name__ == "__main__":
    Model(sys.argv[1:]).run()
