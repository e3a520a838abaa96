"""The checklist of inputs that have troubled readers, or would: each ends in the findings named here.

Source of the list: what libxenguest, libxl and xl did with such input over their releases, which the clauses'
`readers` say.  What they did not survive is not here: `support.drawn` makes that from strategies.  All of it goes
through the command too, from files and from a pipe, under an address-space limit.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ..checks.outcome import CONFORMS, DOES_NOT_CONFORM
from ..writer import Draft, context, dirty, p2m, pages, params, pv_info, raw, record, unknown, unsized, vcpu
from ..writer.builders import in_libvirt, in_xapi, in_xl
from .support.good_streams import (
    BACK,
    CPUID,
    HVM,
    HVM_END_ENTRY,
    HVM_HEADER_ENTRY,
    HVM_V2,
    LIBXL_HVM,
    LIBXL_REMUS,
    PV,
    PV_LAST,
    REMUS_HVM,
    SDE,
    XAPI_UEFI,
    XL_HVM,
)
from .support.paths import (
    BASIC,
    CPUID_POLICY,
    CTX,
    DIRTY,
    DOMAIN,
    EXTENDED,
    FIRMWARE,
    IMAGE,
    INFO,
    MSR_POLICY,
    MSRS,
    PAGE,
    PARAMS,
    QEMU,
    SHINFO,
    STATIC_END,
    TPM,
    TSC_INFO,
    X_END,
    XAPI_END,
    XENOPS_RECORD,
    XL_DATA,
    XL_HEADER,
    XS,
    XSAVE,
)
from .support.vector import judge

P2M = "libxc.X86_PV_P2M_FRAMES"
MAX = 128 << 20
MOST = 0xFFFFFFFF
ADDRESS_SPACE = 256 << 20


def _lengths(path: str, stream: Draft) -> dict[str, tuple[Draft, set[str]]]:
    cut = {"LIBXC-REC-TRUNC"}
    return {
        "length-of-4-gib": (stream.edit(path, declared_length=MOST), {"LIBXC-REC-LENGTH-MAX"}),
        "length-above-limit": (stream.edit(path, declared_length=MAX + 1), {"LIBXC-REC-LENGTH-MAX"}),
        "length-at-limit": (stream.edit(path, declared_length=MAX), cut),
    }


def _page(data: bytes) -> Draft:
    return HVM.swap(PAGE, record(PAGE, data))


def _u(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


# Name: the stream, and the clauses that are broken.
CASES: dict[str, tuple[Draft, set[str]]] = {
    # Framing.
    **_lengths(MSR_POLICY, HVM),
    "padding": (
        HVM.before(TSC_INFO, replace(unknown("libxc", 1 << 31, b"x"), padding=b"\1" * 7)),
        {"LIBXC-REC-PAD-ZERO", "LIBXC-REC-UNKNOWN-OPT"},
    ),
    # PAGE_DATA.
    "count-0": (_page(_u(0, 0)), {"LIBXC-PAGE-COUNT"}),
    "count-of-4-gib": (_page(_u(MOST, 0) + bytes(8)), {"LIBXC-PAGE-LEN"}),
    # 8 x count wraps in 32 bits to what is there.
    "count-wraps": (_page(_u(0x20000001, 0) + b"\0" * 7 + b"\xf0"), {"LIBXC-PAGE-LEN"}),
    **{
        f"page-type-{kind}": (_page(_u(1, 0) + ((kind << 60) | 5).to_bytes(8, "little")), {"LIBXC-PAGE-TYPE"})
        for kind in (5, 6, 7, 8)
    },
    # A frame twice in one batch (commits e8e9f830dc and a7b39c8bd6), turned into a hole, and back.
    "frame-twice": (HVM.before(TSC_INFO, pages((3, "NOTAB"), (3, "NOTAB"))), set()),
    "hole-then-content": (HVM.before(TSC_INFO, pages((3, "XTAB")), pages((3, "NOTAB"))), set()),
    # Frame lists.
    "list-of-most": (PV.swap(P2M, p2m(0, MOST, 1)), {"LIBXC-P2M-LEN"}),
    "list-backwards": (PV.swap(P2M, p2m(9, 1)), {"LIBXC-P2M-RANGE"}),
    "list-not-aligned": (PV.swap(P2M, p2m(1, PV_LAST, 1)), set()),
    "list-entry-beyond": (PV.swap(P2M, p2m(0, PV_LAST, PV_LAST + 1)), {"LIBXC-P2M-ENTRY"}),
    # Static data.
    "second-pv-info": (PV.after(INFO, pv_info(8, 4)), {"LIBXC-PVINFO-ONCE"}),
    "pv-info-8-3": (PV.swap(INFO, pv_info(8, 3)), {"LIBXC-PVINFO-COMBO"}),
    "pv-info-4-4": (PV.swap(INFO, pv_info(4, 4)), {"LIBXC-PVINFO-COMBO"}),
    "second-static-data-end": (HVM.after(STATIC_END, SDE), {"LIBXC-SDE-ONCE"}),
    "static-data-end-when-inferred": (HVM_V2.after(PAGE, SDE), {"LIBXC-SDE-V2"}),
    "no-static-data-end": (HVM.without(STATIC_END), {"LIBXC-SDE-PRESENT"}),
    "policy-after-its-end": (HVM.after(STATIC_END, CPUID), {"LIBXC-POLICY-ORDER"}),
    "cpuid-of-23": (HVM.resized(CPUID_POLICY, 23), {"LIBXC-CPUID-LEN"}),
    "cpuid-of-0": (HVM.resized(CPUID_POLICY, 0), {"LIBXC-CPUID-LEN"}),
    "msr-flags": (HVM.patch(MSR_POLICY, "msrs[0].flags", 1), {"LIBXC-MSR-FLAGS"}),
    # Machine state.
    **{
        f"xsave-of-{size}": (PV.swap(XSAVE, vcpu("XSAVE", 0, size)), {"LIBXC-VCPU-XSAVE-LEN"} if size < 16 else set())
        for size in (15, 16, 17, 591, 592)
    },
    "extended-of-129": (PV.swap(EXTENDED, vcpu("EXTENDED", 0, 129)), {"LIBXC-VCPU-EXT-LEN"}),
    "msrs-of-8": (PV.resized(MSRS, 16), {"LIBXC-VCPU-MSRS-LEN"}),
    "basic-too-short": (PV.resized(BASIC, 8 + 5167), {"LIBXC-VCPU-BASIC-LEN"}),
    "empty-of-unknown-vcpu": (PV.after(XSAVE, record(XSAVE, _u(99, 0))), {"LIBXC-ERRATA-1"}),
    "shared-info-of-4095": (PV.resized(SHINFO, 4095), {"LIBXC-SHINFO-LEN"}),
    "shared-info-of-4097": (PV.resized(SHINFO, 4097), {"LIBXC-SHINFO-LEN"}),
    "params-count-beyond": (HVM.patch(PARAMS, "count", 4), {"LIBXC-HVMPARAMS-LEN"}),
    "params-count-short": (HVM.patch(PARAMS, "count", 2), {"LIBXC-HVMPARAMS-LEN"}),
    "param-4": (HVM.swap(PARAMS, params((4, 1))), {"LIBXC-HVMPARAMS-PAE"}),
    "param-39": (HVM.swap(PARAMS, params((39, 1))), {"LIBXC-HVMPARAMS-INDEX"}),
    "param-of-33-bits": (HVM.swap(PARAMS, params(((1 << 32) + 1, 1))), {"LIBXC-HVMPARAMS-INDEX"}),
    "context-without-end": (HVM.swap(CTX, context(HVM_HEADER_ENTRY)), {"LIBXC-HVMCTX-END"}),
    "context-without-header": (HVM.swap(CTX, context((0, 0, b""))), {"LIBXC-HVMCTX-HEADER"}),
    "context-type-21": (
        HVM.swap(CTX, context(HVM_HEADER_ENTRY, (21, 0, b""), HVM_END_ENTRY)),
        {"LIBXC-HVMCTX-TYPE"},
    ),
    "context-entry-beyond": (
        HVM.edit(CTX, data=context(HVM_HEADER_ENTRY).body("<") + _u(3, 9)),
        {"LIBXC-HVMCTX-TILE"},
    ),
    # Headers.
    "page-shift-44": (HVM.patch(DOMAIN, "page_shift", 44), {"LIBXC-DHDR-PAGESHIFT"}),
    "guest-type-3": (HVM.patch(DOMAIN, "type", 3), {"LIBXC-DHDR-TYPE"}),
    "big-endian-flag": (HVM.big_endian("libxc"), {"LIBXC-IHDR-ENDIAN"}),
    "option-bit-1": (HVM.patch(IMAGE, "options.reserved", 1), {"LIBXC-IHDR-OPT-RSVD"}),
    # Checkpoints.
    # Readers drop what has come since the checkpoint without a word.
    "end-in-a-checkpoint": (
        REMUS_HVM.then(pages((5, "NOTAB")), record(X_END)),
        {"LIBXC-TSC-PRESENT", "LIBXC-HVMCTX-PRESENT", "LIBXC-HVMPARAMS-PRESENT"},
    ),
    "dirty-list-forward": (REMUS_HVM.before(PAGE, dirty(1), nth=-1), {"LIBXC-DIRTY-FWD"}),
    "unknown-optional-when-buffered": (
        LIBXL_REMUS.before(TSC_INFO, unknown("libxc", 1 << 31), nth=1),
        {"LIBXC-REC-UNKNOWN-OPT"},
    ),
    "dirty-list-beyond-limit": (BACK.edit(DIRTY, declared_length=MAX + 8), {"LIBXC-REC-LENGTH-MAX"}),
    # libxl.
    "key-with-slash": (LIBXL_HVM.edit(XS, data=_u(2, 0) + b"/k\0v\0"), {"LIBXL-EMUXS-PAIRS"}),
    # Containers.
    "xl-data-of-4-gib": (XL_HVM.patch(XL_HEADER, "optional_data_len", MOST), {"XL-TRUNC"}),
    "xl-data-of-0": (XL_HVM.swap(XL_DATA).patch(XL_HEADER, "optional_data_len", 0), {"XL-CONFIG-PRESENT"}),
    "xl-config-negative": (XL_HVM.patch(XL_DATA, "config_len", 0x80000000), {"XL-CONFIG-LEN"}),
    "xl-config-without-nul": (in_xl(LIBXL_HVM, b"{}"), {"XL-CONFIG-FORM"}),
    "xl-flag-lies": (in_xl(LIBXL_HVM, stream_v2=0), {"XL-FLAG-STREAM"}),
    "xl-flag-4": (XL_HVM.patch(XL_HEADER, "mandatory_flags.reserved", 1), {"XL-FLAGS"}),
    "libvirt-xml-of-4-gib": (in_libvirt(LIBXL_HVM).patch("libvirt.header", "xml_len", MOST), {"LIBVIRT-TRUNC"}),
    "libvirt-xml-of-0": (in_libvirt(LIBXL_HVM, b""), {"LIBVIRT-XML-LEN"}),
    "libvirt-version-1": (in_libvirt(LIBXL_HVM, version=1), {"LIBVIRT-VERSION-STREAM"}),
    **{
        f"xapi-{name}-{word}": (XAPI_UEFI.edit(path, declared_length=length), {"XAPI-LENGTH"})
        for name, path in (("description", XENOPS_RECORD), ("firmware", FIRMWARE), ("tpm", TPM), ("qemu", QEMU))
        for word, length in (("negative", -1), ("of-2-to-62", 1 << 62), ("of-most", (1 << 63) - 1))
    },
    "xapi-firmware-of-most-that-fits": (XAPI_UEFI.edit(FIRMWARE, declared_length=(1 << 62) - 1), {"XAPI-TRUNC"}),
    "xapi-qemu-of-4-gib": (XAPI_UEFI.edit(QEMU, declared_length=1 << 32), {"XAPI-QEMU-MAX", "XAPI-TRUNC"}),
    "xapi-type-1234": (XAPI_UEFI.edit(FIRMWARE, code=0x1234), {"XAPI-TYPE"}),
    "xapi-two-images": (XAPI_UEFI.before(FIRMWARE, unsized("LIBXC"), *HVM), {"XAPI-MEMORY-ONCE"}),
    "xapi-without-memory": (Draft((*XAPI_UEFI.parts[:2], XAPI_UEFI.parts[-1])), {"XAPI-MEMORY"}),
    "xapi-without-end": (XAPI_UEFI.upto(XAPI_END), {"XAPI-TRUNC"}),
    "xapi-old-data-after": (XAPI_UEFI.then(raw(b"\xa5" * 100)), {"XAPI-SLACK"}),
    "xapi-deep-text": (in_xapi(HVM, xenops=b"(" * 100_000), {"XAPI-XENOPS-FORM"}),
    "xapi-endless-quote": (in_xapi(HVM, xenops=b'((time "' + b"a" * 100_000), {"XAPI-XENOPS-FORM"}),
    "second-stream-after": (HVM.then(*HVM), {"LIBXC-END-LAST"}),
    "garbage-after": (HVM.then(raw(b"\xa5" * 100)), {"LIBXC-END-LAST"}),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    """The findings are those that the case is about, however the bytes are cut."""
    stream, clauses = CASES[name]
    whole = judge(stream.pieces())
    data = stream.render()
    bytewise = judge([data[at : at + 1] for at in range(len(data))])

    assert set(whole.verifier.findings.counts) == clauses
    assert bytewise.verifier.findings.kept == whole.verifier.findings.kept
    assert bytewise.verdict == whole.verdict
    assert (whole.verdict == CONFORMS) == (not whole.errors)


def _command(paths: list[str], stdin: bytes | None = None) -> list[dict[str, Any]]:
    """What the command says of each input under the limit; it may say nothing else."""
    words = [sys.executable, "-m", "streamfmt", "verify", "--json", *paths]
    limit = (ADDRESS_SPACE, ADDRESS_SPACE)
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )

    assert done.stderr == b""
    assert done.returncode in (0, 1)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_files_under_a_limit(tmp_path: Path) -> None:
    """From files, in 256 MiB of address space: the same findings, and no word on standard error."""
    for name, (stream, _) in CASES.items():
        (tmp_path / name).write_bytes(stream.render())

    found = _command([str(tmp_path / name) for name in CASES])

    assert [set(row["counts"]) for row in found] == [clauses for _, clauses in CASES.values()]


@pytest.mark.parametrize("name", [name for name in CASES if re.search("-of-4-gib|negative|^xapi-", name)])
def test_pipe_under_a_limit(name: str) -> None:
    """The hostile lengths once more, from a pipe."""
    stream, clauses = CASES[name]
    (row,) = _command(["-"], stream.render())

    assert set(row["counts"]) == clauses
    assert (row["verdict"] == DOES_NOT_CONFORM) == (row["errors"] > 0)
