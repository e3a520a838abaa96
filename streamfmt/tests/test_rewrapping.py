"""Streams in other wrappers: what is in them stays the same, what has no place is listed, and the way back is exact."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..api import Form
from ..cli.main import main
from ..convert.extract import RAW
from ..convert.part import Options
from ..convert.run import Result, convert
from ..convert.wrappers import WRAPPERS, Wrapper
from ..errors import StreamError
from ..io.outputs import output
from ..reader.registry import ROWS
from ..schema import qemu
from ..strategies import Sample, streams
from ..writer import Draft, emulator, raw, sized
from ..writer.builders import XENOPS, XML, in_libvirt, in_xapi, in_xl
from .support.descriptors import giving, taking
from .support.good_streams import GOOD, HVM, LIBXL_HVM, LIBXL_REMUS, MIGRATION, XAPI_HVM, XAPI_UEFI, XL_HVM
from .support.vector import judge
from .test_cli import conforms_to
from .test_extract import FORMS, taken

TIME = "20240301T09:30:00Z"
CONFIGURATIONS: dict[str, bytes | None] = {
    "xl": b'{"c_info": {"name": "a"}}',
    "libvirt": XML[:-1],
    "xapi": XENOPS,
    "bare": None,
}


def rewrapped(
    data: bytes,
    target: str,
    configuration: bytes | None = None,
    *,
    allow: bool = True,
    way: str = "file",
    emulator: str = "upstream",
    form: str = "auto",
) -> tuple[Result, bytes]:
    """What comes of putting a stream into a wrapper."""
    wrapper: Wrapper = WRAPPERS[target](configuration, emulator, TIME)
    with giving(way, data, 1) as fd, taking("file", 1) as (out, arrived):
        options = Options(form, wrapper=wrapper, allow_loss=allow)
        result = convert(fd, lambda: output(out), options, lambda size: nullcontext(None))
    return result, arrived[0] if result.done else b""


def lost(result: Result) -> set[str]:
    """Rules by which something is lost."""
    return {line.rule for line in result.report.lost}


# By what they are in, streams of which a libxl stream and a XAPI image can hold all, and what they would be in either.
_PLAIN = replace(
    LIBXL_HVM, parts=tuple(part for part in LIBXL_HVM.parts if part.path != "libxl.EMULATOR_XENSTORE_DATA")
)
_STATE = LIBXL_HVM.part("libxl.EMULATOR_CONTEXT").values["context"]
SAME: dict[str, Draft] = {
    "bare": _PLAIN,
    "xl": in_xl(_PLAIN, b'{"c_info": {"name": "a"}}\0'),
    "libvirt": in_libvirt(_PLAIN),
    "xapi": in_xapi(HVM, sized("QEMU_TRAD", _STATE), xenops=XENOPS),
}


@pytest.mark.parametrize("source", SAME)
@pytest.mark.parametrize("target", SAME)
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_any_to_any(source: str, target: str, way: str) -> None:
    """It is what the writer makes of the same contents, byte for byte."""
    result, found = rewrapped(SAME[source].render(), target, CONFIGURATIONS[target], way=way)

    assert result.done
    assert found == SAME[target].render()
    assert lost(result) <= {"CONFIGURATION"}


@pytest.mark.parametrize("target", SAME)
@pytest.mark.parametrize("name", ["hvm", "pv", "libxl-pv", "libxl-hvm", "xapi-pv", "xapi-hvm", "xl-hvm", "libvirt-hvm"])
def test_there_and_back(name: str, target: str) -> None:
    """Where nothing but the configuration is lost, which is put back, the same bytes come back."""
    _comes_back(GOOD[name], target)


def _comes_back(stream: Draft, target: str) -> None:
    data = stream.render()
    source = next((name for name in WRAPPERS if stream.parts[0].layer == name), "bare")
    there, found = rewrapped(data, target, CONFIGURATIONS[target])
    if lost(there) - {"CONFIGURATION"} or {line.rule for line in there.unfit} & {"REFUSE-CHECKPOINTS", "REFUSE-LEGACY"}:
        return
    try:
        configuration = taken(data, "configuration")
    except StreamError:
        configuration = None
    # Of a legacy stream alone little may be there, which does not show what it is.
    inside = next((part.layer for part in stream.parts if ROWS[part.layer].alias), "auto")
    back, again = rewrapped(found, source, configuration, form=inside if target == "bare" else "auto")

    assert there.done
    if "REFUSE-LEGACY" in {line.rule for line in back.unfit}:
        return  # what is in a XAPI image can be taken out, and no release reads it there
    assert back.done
    # An image alone gets a libxl stream around it for all but XAPI, and keeps that.
    assert again == data if stream.parts[0].layer != "libxc" else taken(again, "libxc", RAW) == data


# What is in these can come back: others have signatures, greetings and handshakes that are left behind.
BACK: tuple[Form, ...] = ("libxl", "xl", "libvirt", "xapi", "legacy-64", "legacy-32")


@given(st.sampled_from(BACK).flatmap(streams), st.sampled_from(sorted(WRAPPERS)))
@settings(max_examples=40)
def test_any_there_and_back(sample: Sample, target: str) -> None:
    """So it is with any stream, a legacy one inside as well."""
    _comes_back(sample.stream, target)


@given(st.sampled_from(FORMS).flatmap(streams), st.sampled_from(sorted(WRAPPERS)))
@settings(max_examples=60)
def test_any_stream(sample: Sample, target: str) -> None:
    """The result conforms and has the same image and state; or what cannot be is refused, with a reason."""
    data = sample.data
    result, found = rewrapped(data, target, CONFIGURATIONS[target])
    if not result.done:
        assert result.unfit
        legacy = target == "xapi" and any(part.layer.startswith("legacy") for part in sample.stream)
        assert sample.mode != "plain" or legacy
        return
    outcome = judge([found], mode=sample.mode)
    errors = [finding for finding in outcome.findings if finding.severity == "error"]

    assert not [finding for finding in errors if finding.clause not in sample.verify().counts]
    for part in ("libxc", "emulator[0]", "xenstore[0]"):
        try:
            body = taken(data, part, RAW)
        except StreamError:
            continue
        if part == "xenstore[0]" and "XENSTORE" in lost(result):
            continue
        assert taken(found, part, RAW) == body


@pytest.mark.parametrize(
    ("stream", "target", "rules"),
    [
        (XL_HVM, "bare", {"CONFIGURATION"}),
        (LIBXL_HVM, "xapi", {"XENSTORE"}),
        (XAPI_UEFI, "xl", {"CONFIGURATION", "VARSTORE", "VTPM"}),
        (_PLAIN.put("libxl.EMULATOR_CONTEXT", emulator_id=1), "xapi", {"EMULATOR-ID"}),
        (_PLAIN.put("libxl.header", **{"options.legacy": 1}), "xapi", {"LEGACY-BIT"}),
        (_PLAIN.then(raw(b"something else")), "xl", {"AFTER-END-UNKNOWN"}),
        (_PLAIN.then(raw(bytes(4096))), "xl", set()),
        (MIGRATION, "xl", set()),
    ],
)
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_what_is_lost(stream: Draft, target: str, rules: set[str], way: str) -> None:
    """It is listed; without leave for that there is no output."""
    allowed, found = rewrapped(stream.render(), target, way=way)
    refused, nothing = rewrapped(stream.render(), target, allow=False, way=way)

    assert allowed.done
    assert found
    assert lost(allowed) == rules
    assert refused.done == (not rules)
    assert bool(nothing) == (not rules)
    assert {line.rule for line in refused.unfit} == rules if way == "file" else len(refused.unfit) == bool(rules)


@pytest.mark.parametrize(
    ("stream", "target", "rule"),
    [
        (LIBXL_REMUS, "xapi", "REFUSE-CHECKPOINTS"),
        (XL_HVM, "libvirt", "REFUSE-XML"),
        (XAPI_HVM.before("xapi.END_OF_IMAGE", *XAPI_HVM.parts[2:-2]), "xl", "REFUSE-SECOND"),
        (_PLAIN.swap("libxl.EMULATOR_CONTEXT", emulator(qemu.HEADER + bytes(1 << 20))), "xapi", "XAPI-QEMU-MAX"),
    ],
)
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_what_cannot_be(stream: Draft, target: str, rule: str, way: str) -> None:
    """It is refused, with leave for losses too."""
    result, _ = rewrapped(stream.render(), target, way=way)

    assert not result.done
    assert rule in {line.rule for line in result.unfit}


def test_state_before_the_image() -> None:
    """Readers of XAPI's images take records in any order; in a libxl stream the state comes last."""
    stream = SAME["xapi"].moved("xapi.QEMU_TRAD", before="xapi.LIBXC")
    result, found = rewrapped(stream.render(), "bare")

    assert result.done
    assert found == _PLAIN.render()


def test_which_emulator() -> None:
    """It can be said which emulator a state is of."""
    _, found = rewrapped(SAME["xapi"].render(), "bare", emulator="traditional")

    assert found == _PLAIN.put("libxl.EMULATOR_CONTEXT", emulator_id=1).render()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report lists what is lost; --json has it too."""
    source, target, config = (tmp_path / name for name in ("guest.sav", "new.sav", "guest.xml"))
    source.write_bytes(XL_HVM.render())
    config.write_bytes(XML[:-1])
    words = ["convert", "--container", "libvirt", str(source), str(target)]

    assert main(words) == 1
    assert "libvirt file without the guest's XML" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--configuration", str(config)]) == 0
    assert target.read_bytes() == in_libvirt(LIBXL_HVM).render()
    capsys.readouterr()
    assert main(["convert", "--container", "bare", str(source), str(tmp_path / "x"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    conforms_to("convert", found)
    assert [line["kind"] for line in found["unfit"]] == ["lost"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guest.sav", "guest.xml", "new.sav"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--container", "xl", "--configuration", "{xml}"], "xl has JSON or xl's text, not XML"),
        (["--container", "bare", "--configuration", "{xml}"], "bare has no configuration"),
        (["--container", "xl", "--configuration", "{none}"], "cannot read"),
        (["--configuration", "{xml}"], "needs --container"),
        (["--container", "xl", "--repair"], "excludes --repair"),
    ],
)
def test_wrong_usage(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what is wrong."""
    names = {"xml": tmp_path / "xml", "none": tmp_path / "none"}
    names["xml"].write_bytes(XML[:-1])
    (tmp_path / "in").write_bytes(XL_HVM.render())
    status = main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), *(word.format_map(names) for word in words)])

    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
