"""Streams for judging us by libxl and xl: those of `cases`, and what only these readers come to.

The script refuses all xenstore data and reads no checkpointed libxl stream, so `cases` has few of either.  Xl wants a
configuration of which it can make a guest before it looks at a stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from itertools import chain

from ..corpus import entries
from ..reader.registry import ROWS
from ..writer import Draft, builders, raw
from ..writer.builders import in_xl
from .cases import Base, Case, cases, done, plainly

# What stands before the guest's kind where a host is asked about a stream, by the form: libxl restores, or xl.
ASKED = {"libxl": "", "xl": "xl-"}
_VCPUS = 8
# About what xl judges before it looks into the configuration, by the clauses.
_BEFORE = ("XL-BYTEORDER ", "XL-CONFIG-LEN ", "XL-FLAGS ", "XL-MAGIC ", "XL-OPTDATA-LEN ", "XL-TRUNC in-")
_XENSTORE = "libxl.EMULATOR_XENSTORE_DATA"
_SAMPLE = in_xl(Draft(()))


def configuration(guest: str) -> bytes:
    """A configuration of which xl makes a guest of that type, without disks, networks or a kernel of its own."""
    memory = {"max_memkb": 1 << 20, "target_memkb": 1 << 20, "shadow_memkb": 8192}
    processors = list(range(_VCPUS))
    build: dict[str, object] = {"max_vcpus": _VCPUS, "avail_vcpus": processors, "numa_placement": "False", **memory}
    kinds: dict[str, dict[str, object]] = {
        "hvm": {"device_model_version": "qemu_xen", "type.hvm": {"vnc": {"enable": "False"}}},
        "pv": {"type.pv": {}},
    }
    identity = {"type": guest, "name": "guest", "uuid": "6f1c2c3e-0b0a-4d5e-8f70-112233445566"}
    return json.dumps({"c_info": identity, "b_info": build | kinds[guest]}).encode() + b"\0"


def _configured(guest: str) -> Iterator[tuple[str, bytes, dict[str, int]]]:
    """Configurations and flags, by what is strange about them."""
    good = configuration(guest)
    text = f'name = "guest"\ntype = "{guest}"\nmemory = 256\nkernel = "/bin/true"\nvnc = 0\n'.encode()
    yield "without its NUL", good[:-1], {}
    yield "with a second NUL", good + b"\0", {}
    yield "with text after its NUL", good + b"text", {}
    yield "with a NUL inside", good.replace(b" ", b"\0", 1), {}
    yield "after a blank", b"\n \t" + good, {}
    yield "without its brace", good[1:], {}
    yield "of a NUL alone", b"\0", {}
    yield "of nothing", b"", {}
    yield "that is a list", b"[]\0", {}
    yield "of unknown keys", good.replace(b"{", b'{"new": 1, "newer": {"a": []}, ', 1), {}
    yield "in UTF-16", good.decode().encode("utf-16"), {}
    yield "that is text", text, {"json": 0}
    yield "that is text with a NUL", text + b"\0", {"json": 0}
    yield "that is text and said to be JSON", text, {}
    yield "that is JSON and said to be text", good, {"json": 0}


def _bases() -> dict[str, Base]:
    good = {entry.name: entry.recipe.stream for entry in entries.collection(entries.BASES)}
    hvm, pv = good["libxl-hvm"], good["libxl-pv"]
    # A PVH guest's image is one of an HVM guest, without a device model.
    pvh = plainly(hvm).without("libxl.EMULATOR_CONTEXT")
    checkpointed = "field length type order cut"
    return {
        "libxl-xenstore": Base(hvm, "libxl", "hvm"),
        "libxl-pvh": Base(pvh, "libxl", "pvh", families="length type order"),
        "libxl-remus-hvm": Base(good["libxl-remus-hvm"], "libxl", "hvm", "auto", checkpointed),
        "libxl-remus-pv": Base(good["libxl-remus-pv"], "libxl", "pv", "auto", checkpointed),
        "libxl-hvm as PV": Base(hvm, "libxl", "pv", families=""),
        "libxl-hvm as PVH": Base(hvm, "libxl", "pvh", families=""),
        "libxl-pv as HVM": Base(
            pv.before("libxl.END", hvm.part("libxl.EMULATOR_CONTEXT")), "libxl", "hvm", families=""
        ),
        "xl-hvm in full": Base(in_xl(hvm, configuration("hvm")), "xl", "hvm"),
        "xl-pv in full": Base(in_xl(pv, configuration("pv")), "xl", "pv"),
    }


def _strings(stream: Draft) -> Iterator[tuple[str, Draft]]:
    """Xenstore data in a stream that has some: keys and values on the edge of what xenstored takes."""
    pairs = {
        "key with a dot": ("a.b", "1"),
        "key with a blank": ("a b", "1"),
        "key above its directory": ("../../x", "1"),
        "key ending in a slash": ("a/", "1"),
        "key with two slashes": ("a//b", "1"),
        "key of 255 bytes": ("k" * 255, "1"),
        "key of 257 bytes": ("k" * 257, "1"),
        "key of 3 KiB": ("k/" * 1500 + "k", "1"),
        "value of 4,000 bytes": ("a", "v" * 4000),
        "value of 5,000 bytes": ("a", "v" * 5000),
        "value with control characters": ("a", "\1\n\x7f"),
        "value with a percent sign": ("a", "%d"),
        "same key": ("name", "2"),
    }
    for name, (key, value) in pairs.items():
        yield name, stream.swap(_XENSTORE, builders.xenstore(key, value))
    yield "two records", stream.before(_XENSTORE, builders.xenstore("a", "1"))


def _made() -> Iterator[Case]:
    for name, base in _bases().items():
        for what, changed in done(base):
            # What is done to the image inside has its turn in `cases`.
            if "#" not in what or not ROWS[what.partition(".")[0]].image:
                yield Case(f"{name}: {what}", changed, base.form, base.guest, base.mode)
    hvm = _bases()["libxl-xenstore"].stream
    yield from (Case(f"libxl-xenstore: {what}", changed, "libxl", "hvm") for what, changed in _strings(hvm))
    inner = {
        "hvm": plainly(hvm),
        "pv": _bases()["xl-pv in full"].stream.without("xl.header").without("xl.OPTIONAL_DATA"),
    }
    for guest, stream in inner.items():
        for what, config, flags in _configured(guest):
            yield Case(f"xl-{guest} configuration {what}", in_xl(stream, config, b"", **flags), "xl", guest)
        good = configuration(guest)
        yield Case(f"xl-{guest} rest", in_xl(stream, good, b"more after it"), "xl", guest)
        yield Case(f"xl-{guest} flag clear", in_xl(stream, good, stream_v2=0), "xl", guest)
        yield Case(f"xl-{guest} trailer", in_xl(stream, good).then(raw(bytes(512))), "xl", guest)


def _known() -> Iterator[Case]:
    """What `cases` has of these forms; in xl files with a configuration that xl takes in the place of the sample."""
    for case in cases():
        outer = ASKED.get(case.form)
        # A stream of COLO has to be asked for as such, and needs a secondary that answers.
        if outer is None or {"libxc.CHECKPOINT", "libxl.CHECKPOINT_STATE"} <= case.stream.paths:
            continue
        if not outer:
            yield case
        elif case.stream.parts[:2] == _SAMPLE.parts[:2]:
            inner = Draft(case.stream.parts[2:], cut=case.stream.cut)
            yield replace(case, stream=in_xl(inner, configuration(case.guest)))
        elif case.name.startswith(_BEFORE):
            yield case


def _as_asked(case: Case) -> Case:
    """Whether to take checkpoints has to be said, and xl restore takes none."""
    checkpoints = not ASKED[case.form] and ("libxc.CHECKPOINT" in case.stream.paths or case.mode == "remus")
    return case if checkpoints or case.mode == "plain" else replace(case, mode="plain")


def kind(case: Case) -> str:
    """What a host is asked to restore a case as."""
    return f"{ASKED[case.form]}{case.kind}"


@cache
def cases_toolstack() -> tuple[Case, ...]:
    """All of them, each once."""
    seen: set[bytes] = set()
    found = []
    for case in chain(map(_as_asked, _known()), _made()):
        digest = blake2b(f"{case.form} {case.guest} {case.mode} ".encode() + case.data).digest()
        if digest not in seen:
            seen.add(digest)
            found.append(case)
    return tuple(found)
