"""Vectors of the clauses about XAPI suspend images."""

from __future__ import annotations

from ..schema import xapi
from ..writer import XENOPS, Part, Stream, in_xapi, raw, sized, unsized
from .good import HVM, LIBXL_HVM, PV, QEMU_TRAD, SWTPM, VARSTORED, XAPI_HVM, XAPI_PV, XAPI_UEFI
from .paths import FIRMWARE, IMAGE_RECORD, QEMU, TPM, XAPI_END, XAPI_HEADER, XENOPS_RECORD
from .vector import Table, Vector, rows

_TIME, _WORD = b"(time 20240301T09:30:00Z)", b"(word_size 64)"


def _xenops(text: bytes) -> Stream:
    """An image whose XENOPS record is this text."""
    return in_xapi(HVM, QEMU_TRAD, xenops=text)


def _with(pair: bytes) -> Stream:
    """An image whose XENOPS record has one more pair than it must."""
    return _xenops(b"(" + _TIME + _WORD + pair + b")")


def _word(text: bytes) -> Stream:
    return _xenops(b"(" + _TIME + b"(word_size " + text + b"))")


def _tpm(text: bytes) -> Stream:
    return XAPI_UEFI.edit(TPM, octets=text)


def _claim(path: str, length: int) -> Stream:
    return XAPI_UEFI.edit(path, claim=length)


_LONG = b"x" * 300_000

ACCEPTING: Table = {
    "XAPI-LENGTH": {"nothing": Vector(XAPI_UEFI.edit(FIRMWARE, octets=b"")), "tpm": Vector(_tpm(b""))},
    "XAPI-XENOPS-FORM": {
        **rows(
            _with,
            nothing_more=b"",
            space=b" ( vm_str\t\n a ) ",
            newlines=b"\r\n(vm_str\r\na)\r\n\f",
            quoted=b'(vm_str"a b")',
            quoted_key=b'("vm_str"a)',
            empty_atom=b'(vm_str "")',
            escapes=rb'(vm_str "\"\\\n\t\x41\065\255\q\1a\12 ( ) ;")',
            escaped_line=b'(vm_str "a\\\n  b")',
            bare_marks=b"(vm_str a#b|c\x0b\\d|)",
            only_mark=b"(vm_str #)",
            parentheses_in_quotes=b'(vm_str "(((")',
            high=b"(vm_str \xff\x80)",
        ),
        "space-behind": Vector(_xenops(XENOPS + b" \n")),
        "space-before": Vector(_xenops(b"\n" + XENOPS)),
        "long-quoted": Vector(_with(b'(vm_str "' + _LONG + rb"\"\255" * 50_000 + b'")'), large=True),
        "long-bare": Vector(_with(b"(vm_str " + _LONG + b"#" * 100_000 + b")"), large=True),
        "long-space": Vector(_with(b" " * 300_000), large=True),
    },
    "XAPI-XENOPS-KEYS": {
        "other-order": Vector(_xenops(b"((xs_subtree())(vm_str a)" + _WORD + _TIME + b")")),
        "fewest": Vector(_xenops(b"(" + _TIME + _WORD + b")")),
    },
    "XAPI-XENOPS-VALUES": {
        **rows(
            _with,
            pairs=b'(xs_subtree((a b)("c d""e f")(g"h")))',
            spaced_pairs=b'(xs_subtree ( ( a  b ) ("\\"" "") (c#d |)) )',
        ),
        "long-pairs": Vector(
            _with(b"(xs_subtree(" + b'(a b)("c""d")( e f )' * 30_000 + b"(" + _LONG + b" v)))"), large=True
        ),
    },
    "XAPI-WORD-SIZE": rows(_word, narrow=b"32", hexadecimal=b"0x40", underscore=b"6_4", signed=b"+64", quoted=b'"64"'),
    "XAPI-QEMU-MAX": {
        "most": Vector(XAPI_HVM.swap(QEMU, sized("QEMU_TRAD", b"QEVM").filled(xapi.QEMU_MAX - 4)), large=True),
        "nothing": Vector(XAPI_HVM.edit(QEMU, octets=b"")),
    },
    "XAPI-ORDER": {"tpm-alone": Vector(in_xapi(HVM, VARSTORED, SWTPM))},
    "XAPI-ONCE": {"two-tpms": Vector(XAPI_UEFI)},
    # A PVH guest, whose image is one of an HVM guest, has no QEMU.
    "XAPI-HVM-ONLY": {"none": Vector(in_xapi(HVM)), "pv": Vector(XAPI_PV)},
    "XAPI-SWTPM-TEXT": {
        **rows(_tpm, unpadded=b"AAAA", one_pad=b"AAA=", spaced=b"AAAA AA== AAA= ", space=b" "),
        "long": Vector(_tpm(b"ab+/" * 100_000 + b"AA=="), large=True),
        "long-spaced": Vector(_tpm(b"abc= " * 100_000), large=True),
    },
    "XAPI-SLACK": {"nothing": Vector(XAPI_HVM)},
}

BREAKING: Table = {
    "XAPI-MAGIC": {
        "other-letters": Vector(XAPI_HVM.patch(XAPI_HEADER, "signature", b"XenSavedDomv3-\n"), form="xapi"),
        "legacy": Vector(XAPI_HVM.patch(XAPI_HEADER, "signature", b"XenSavedDomain\n"), form="xapi"),
    },
    "XAPI-TYPE": rows(
        lambda code: XAPI_HVM.before(QEMU, Part(XAPI_END, octets=b"body", code=code)),
        zero=0,
        other=0x1234,
        bit_31=0x80000000,
        above_32_bits=0x1_0000_000F,
        negative=-1,
        least=-(1 << 63),
    ),
    "XAPI-RESERVED": {
        "qemu-xen": Vector(XAPI_HVM.before(QEMU, sized("QEMU_XEN", b"body"))),
        "qemu-xen-at-the-end": Vector(XAPI_PV.before(XAPI_END, sized("QEMU_XEN", b""))),
        "libxl": Vector(XAPI_HVM.before(IMAGE_RECORD, unsized("LIBXL"), *LIBXL_HVM)),
        "libxl-alone": Vector(XAPI_HVM.before(QEMU, unsized("LIBXL"))),
    },
    "XAPI-LENGTH": {
        f"{name}-{word}": Vector(_claim(path, length))
        for name, path in (("xenops", XENOPS_RECORD), ("varstored", FIRMWARE), ("tpm", TPM), ("qemu", QEMU))
        for word, length in (
            ("negative", -1),
            ("least", -(1 << 63)),
            ("one-too-long", xapi.LENGTH_MAX + 1),
            ("most", (1 << 63) - 1),
        )
    },
    "XAPI-LENGTH-ZERO": {
        f"{name}-{word}": Vector(_claim(path, length))
        for name, path in (("memory", IMAGE_RECORD), ("end", XAPI_END))
        for word, length in (("one", 1), ("negative", -1), ("most", (1 << 63) - 1))
    },
    "XAPI-XENOPS-FIRST": {
        "missing": Vector(XAPI_HVM.without(XENOPS_RECORD)),
        "behind-memory": Vector(XAPI_HVM.moved(XENOPS_RECORD, before=QEMU)),
        "last": Vector(XAPI_UEFI.moved(XENOPS_RECORD, before=XAPI_END)),
        "twice": Vector(XAPI_PV.before(XAPI_END, sized("XENOPS", XENOPS))),
        "twice-at-once": Vector(XAPI_HVM.before(IMAGE_RECORD, sized("XENOPS", XENOPS))),
    },
    "XAPI-XENOPS-FORM": {
        **rows(
            _xenops,
            nothing=b"",
            space=b" \n",
            atom=b"time",
            json=b'{"time": "20240301T09:30:00Z", "word_size": 64}',
            closed_only=b")",
            open_only=b"(",
            unclosed=XENOPS[:-1],
            closed_twice=XENOPS + b")",
            twice=XENOPS + XENOPS,
            text_behind=XENOPS + b" end",
            nul_behind=XENOPS + b"\0",
            atom_for_pair=b"(time)",
            no_key=b"(())",
            list_for_key=b"(((time) now))",
            ends_for_key=b"((",
        ),
        **rows(
            _with,
            no_value=b"(vm_str)",
            ends_for_value=b"(vm_str",
            two_values=b"(vm_str a b)",
            list_behind=b"(vm_str a(b))",
            unterminated=b'(vm_str "a)',
            unterminated_by_escape=b'(vm_str "a)) \\"',
            octet_256=rb'(vm_str "\256")',
            octet_999=rb'(vm_str "a\999")',
            octet_300_at_the_end=rb'(vm_str "\300',
            mark_opens=b"(vm_str a#|b)",
            mark_closes=b"(vm_str a|#b)",
            mark_closes_first=b"(vm_str |#)",
            unclosed_pairs=b"(xs_subtree(",
            unclosed_pair=b"(xs_subtree((a b",
        ),
        "long-unterminated": Vector(_with(b'(vm_str "' + _LONG), large=True),
        "far-escape": Vector(_with(b'(vm_str "' + _LONG + rb"\256" + b'")'), large=True),
    },
    "XAPI-XENOPS-KEYS": {
        **rows(
            _xenops,
            none=b"()",
            no_time=b"(" + _WORD + b")",
            no_word_size=b"(" + _TIME + b")",
            twice=b"(" + _TIME + _WORD + _TIME + b")",
        ),
        **rows(
            _with,
            unknown=b"(vm a)",
            capital=b"(VM_STR a)",
            empty=b'("" a)',
            longer=b"(vm_strs a)",
            list_under_unknown=b"(memory((a b)))",
            deep=b"(memory" + b"(" * 2000 + b")" * 2000 + b")",
        ),
        "long-key": Vector(_with(b"(" + _LONG + b" a)"), large=True),
    },
    "XAPI-XENOPS-VALUES": {
        **rows(
            _with,
            configuration_list=b"(vm_str(a))",
            subtree_atom=b"(xs_subtree a)",
            subtree_of_atoms=b"(xs_subtree(a))",
            subtree_of_three=b"(xs_subtree((a b c)))",
            subtree_of_one=b"(xs_subtree((a)))",
            subtree_of_nothing=b"(xs_subtree(()))",
            subtree_of_lists=b"(xs_subtree((a(b))))",
            deep=b"(xs_subtree" + b"(" * 2000 + b")" * 2000 + b")",
        ),
        **rows(
            _word,
            word=b"wide",
            empty=b'""',
            list=b"(64)",
            fraction=b"64.0",
            digit_of_no_base=b"0b2",
            no_digits=b"0x",
            beyond_integers=b"4611686018427387904",
            beyond_63_bits=b"0x8000000000000000",
            very_long=b"9" * 2000,
        ),
        "time-list": Vector(_xenops(b"((time(now))" + _WORD + b")")),
    },
    "XAPI-WORD-SIZE": rows(
        _word, zero=b"0", sixteen=b"16", negative=b"-64", large=b"4611686018427387903", high=b"0x7fffffffffffffff"
    ),
    "XAPI-MEMORY": {
        "description-only": Vector(Stream((*XAPI_HVM.parts[:2], XAPI_HVM.parts[-1]))),
        "all-but-memory": Vector(Stream((*XAPI_UEFI.parts[:2], VARSTORED, SWTPM, QEMU_TRAD, XAPI_UEFI.parts[-1]))),
        "nothing": Vector(Stream((XAPI_HVM.parts[0], XAPI_HVM.parts[-1]))),
    },
    "XAPI-MEMORY-ONCE": {
        "same": Vector(XAPI_PV.before(XAPI_END, unsized("LIBXC"), *PV)),
        "three": Vector(XAPI_HVM.before(QEMU, unsized("LIBXC"), *HVM, unsized("LIBXC"), *HVM)),
    },
    "XAPI-ORDER": {
        "qemu-before-memory": Vector(XAPI_HVM.moved(QEMU, before=IMAGE_RECORD)),
        "firmware-before-memory": Vector(XAPI_UEFI.moved(FIRMWARE, before=IMAGE_RECORD)),
        "firmware-behind-tpm": Vector(XAPI_UEFI.moved(FIRMWARE, before=QEMU)),
        "firmware-behind-qemu": Vector(in_xapi(HVM, QEMU_TRAD, VARSTORED)),
        "tpm-behind-qemu": Vector(in_xapi(HVM, VARSTORED, QEMU_TRAD, SWTPM)),
        "tpm-without-firmware": Vector(XAPI_UEFI.without(FIRMWARE)),
        "gpu-behind-qemu": Vector(in_xapi(HVM, QEMU_TRAD, unsized("DEMU"), raw(b"state"))),
    },
    "XAPI-ONCE": {
        "qemu": Vector(XAPI_HVM.before(QEMU, QEMU_TRAD)),
        "firmware": Vector(XAPI_UEFI.before(FIRMWARE, VARSTORED)),
    },
    "XAPI-HVM-ONLY": {
        "qemu": Vector(in_xapi(PV, QEMU_TRAD)),
        "firmware": Vector(in_xapi(PV, VARSTORED)),
        "firmware-and-tpm": Vector(in_xapi(PV, VARSTORED, SWTPM)),
    },
    "XAPI-QEMU-MAX": {
        "one-more": Vector(XAPI_HVM.swap(QEMU, sized("QEMU_TRAD", b"QEVM").filled(xapi.QEMU_MAX - 3)), large=True),
        "much-more": Vector(XAPI_HVM.swap(QEMU, sized("QEMU_TRAD", b"").filled(3 << 20)), large=True),
    },
    "XAPI-SWTPM-TEXT": {
        **rows(
            _tpm,
            raw_state=b"\0\0\0\4tpm2",
            one_short=b"AAA",
            one_over=b"AAAAA",
            padding_only=b"====",
            three_pads=b"A===",
            padding_inside=b"AA==AAAA",
            url_alphabet=b"AA-_",
            newline=b"AAAA\n",
            odd_word=b"AAA AAAA",
        ),
        "second-record": Vector(XAPI_UEFI.edit(TPM, 1, octets=b"AA=A")),
        "far-in": Vector(_tpm(b"AAAA" * 100_000 + b"A?AA"), large=True),
    },
    "XAPI-SWTPM0": {
        "raw": Vector(XAPI_UEFI.swap(TPM, sized("SWTPM0", bytes(range(64))))),
        "empty": Vector(in_xapi(HVM, VARSTORED, sized("SWTPM0", b""), QEMU_TRAD)),
    },
    "XAPI-LIBXC-LEGACY": {
        "alone": Vector(Stream((*XAPI_HVM.parts[:2], unsized("LIBXC_LEGACY"), raw(b"\0\0\4\0" + bytes(4000))))),
        "nothing-behind": Vector(Stream((*XAPI_HVM.parts[:2], unsized("LIBXC_LEGACY")))),
    },
    "XAPI-SLACK": {
        "one-zero": Vector(XAPI_HVM.then(raw(b"\0"))),
        "block-device": Vector(XAPI_PV.then(raw(b"", fill=257 << 10))),
        "noise": Vector(XAPI_PV.then(raw(b"\1"))),
        "zeros-then-not": Vector(XAPI_HVM.then(raw(b"", fill=257 << 10), raw(b"\1"))),
        "second-image": Vector(XAPI_HVM.then(*XAPI_PV)),
        "libxl-stream": Vector(XAPI_HVM.then(*LIBXL_HVM)),
        "converter-qemu-record": Vector(XAPI_HVM.then(raw(b"QemuDeviceModelRecord\n"))),
    },
    "XAPI-TRUNC": {
        **rows(
            lambda path, extra: XAPI_UEFI.upto(path, extra=extra),
            inside_signature=(XAPI_HEADER, 14),
            before_records=(XENOPS_RECORD, 0),
            inside_record_header=(XENOPS_RECORD, 9),
            before_body=(XENOPS_RECORD, 16),
            inside_description=(XENOPS_RECORD, 100),
            before_memory=(IMAGE_RECORD, 0),
            inside_memory_header=(IMAGE_RECORD, 15),
            behind_memory=(FIRMWARE, 0),
            inside_firmware=(FIRMWARE, 20),
            inside_tpm=(TPM, 21),
            inside_qemu=(QEMU, 17),
            before_end=(XAPI_END, 0),
            inside_end=(XAPI_END, 12),
        ),
        "length-of-most": Vector(_claim(FIRMWARE, xapi.LENGTH_MAX).upto(TPM)),
    },
}
