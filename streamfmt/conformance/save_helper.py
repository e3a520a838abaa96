"""Xen's libxl-save-helper alone: xc_domain_save and xc_domain_restore in a process of their own, on a host.

Libxl runs it for each image.  It is given numbers on its command line and speaks on its standard input and output: a
message is two bytes of length and as many bytes, of which the first two are its kind; its arguments follow, all
little-endian, a text as four bytes of length and as many bytes with a NUL.  What asks is answered by four bytes.

Source: what the helper of Debian's releases says and takes (run); tools/libs/light/libxl_save_msgs_gen.pl names the
messages.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from struct import pack, unpack_from

from .host import Host

# Kinds of messages, from 1.
_KINDS = (
    "log",
    "progress",
    "suspend",
    "postcopy",
    "checkpoint",
    "wait_checkpoint",
    "switch_qemu_logdirty",
    "static_data_done",
    "restore_results",
    "complete",
)
_FORMS = {"log": "IIss", "switch_qemu_logdirty": "II", "static_data_done": "I", "restore_results": "QQ"}
_FORMS |= {"progress": "ssQQ", "complete": "ii"}
_ASKS = {"suspend", "postcopy", "checkpoint", "wait_checkpoint", "switch_qemu_logdirty", "static_data_done", "complete"}
# What callers of today's libxl say where nothing is to be done: 1 is that it went well, 0 that there is no error.
_ANSWERS = dict.fromkeys(("suspend", "postcopy", "checkpoint", "wait_checkpoint"), 1)
# Event channels of xenstore and the console, and their domain.
_STORE, _CONSOLE, _OWNER = 11, 12, 0
_NONE = -1
_PATIENCE = 20.0

Answers = Mapping[str, Callable[..., int]]


@dataclass(slots=True)
class Helped:
    """What the helper said: its calls in order, its log, what the operation returned, and how it ended."""

    calls: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    retval: int = -1
    status: int = -1
    stderr: str = ""


def create(host: Host, kind: str, vcpus: int = 1) -> int:
    """A new domain of type "hvm" or "pv"; its number."""
    done = host.run([*host.xen.loader, host.xen.built / "fakectl", "create", kind, str(vcpus)])
    return int(done.stdout)


def _mask(*names: str) -> int:
    """Which callbacks are wanted."""
    return sum(1 << _KINDS.index(name) + 1 for name in names)


def restore(host: Host, descriptor: int, domid: int, answers: Answers | None = None) -> Helped:
    """Have an image restored into a domain, from a descriptor that is left just after its END."""
    wanted = _mask("static_data_done", "restore_results")
    places = (domid, _STORE, _OWNER, _CONSOLE, _OWNER)
    return _run(host, ("--restore-domain", descriptor, _NONE, *places, wanted, 0), descriptor, answers or {})


def save(host: Host, descriptor: int, domid: int, live: bool = False) -> Helped:
    """Have a domain's image saved to a descriptor."""

    def suspend() -> int:
        return int(host.run([*host.xen.loader, host.xen.built / "fakectl", "suspend", str(domid)]).status == 0)

    wanted = _mask("suspend", "switch_qemu_logdirty")
    words = ("--save-domain", descriptor, _NONE, domid, int(live), wanted, 0)
    return _run(host, words, descriptor, {"suspend": suspend})


def _run(host: Host, words: tuple[object, ...], descriptor: int, answers: Answers) -> Helped:
    helper = subprocess.Popen(
        [host.program("libxl-save-helper"), *map(str, words)],
        env=host.environment,
        pass_fds=[descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    found = Helped()
    assert helper.stdin is not None
    assert helper.stdout is not None
    while len(head := helper.stdout.read(2)) == 2:
        name, values = _decoded(helper.stdout.read(int.from_bytes(head, "little")))
        if name == "log":
            found.log.append(str(values[-1]))
        elif name == "complete":
            found.retval = int(str(values[0]))
        elif name != "progress":
            found.calls.append(name)
        answer = answers[name](*values) if name in answers else _ANSWERS.get(name, 0)
        if name in _ASKS:
            helper.stdin.write(pack("<i", answer))
            helper.stdin.flush()
    _, stderr = helper.communicate(timeout=_PATIENCE)
    found.status, found.stderr = helper.returncode, stderr.decode(errors="replace")
    return found


def _decoded(message: bytes) -> tuple[str, list[int | str]]:
    """A message's kind and arguments."""
    (number,) = unpack_from("<H", message)
    name = _KINDS[number - 1] if 0 < number <= len(_KINDS) else f"kind {number}"
    at, values = 2, list[int | str]()
    for code in _FORMS.get(name, ""):
        if code == "s":
            (length,) = unpack_from("<i", message, at)
            values.append(message[at + 4 : at + 3 + length].decode(errors="replace"))
            at += 4 + length
        else:
            values.append(unpack_from("<" + code, message, at)[0])
            at += 8 if code == "Q" else 4
    return name, values
