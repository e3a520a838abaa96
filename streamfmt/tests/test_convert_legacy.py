"""Legacy streams converted: the same guest by plain readers, losses, refusals."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..cli.main import main
from ..convert.run import Result
from ..strategies import Sample, cuts, mutations
from ..strategies.conforming import OLD, VERSIONS, made
from .support import plain_drawn, plain_memory, plain_memory_legacy, plain_memory_v3, plain_wrappers
from .support.converted import converted
from .support.plain_guests import Setup, pieces, saved
from .support.plain_legacy import Physmap, batch, entry
from .support.plain_setups import named, setups
from .support.vector import judge

# What a conversion cannot help: policies that no legacy stream has, TSC before 4.0, holes that are not sent.
UNAVOIDABLE = {"LIBXC-POLICY-PRESENT", "LIBXC-TSC-PRESENT", "LIBXC-PAGE-COVER"}
# What no leave for losses helps: two-level guests, a state in a XAPI image, changes to pages that never came.
ALWAYS_REFUSED = {"REFUSE-LEVELS", "REFUSE-STATE", "REFUSE-CHECKPOINTS"}
WAYS = st.sampled_from(["file", "pipe"])
SETUPS = setups()


def _options(setup: Setup, wrapped: bool, **more: Any) -> dict[str, Any]:
    form = f"legacy-{8 * setup.word}"
    return {"form": form, "guest": setup.guest, "wrapped": wrapped, "allow_loss": True, **more}


def _same(data: bytes, setup: Setup, found: bytes) -> None:
    """The output conforms, and has the guest that the input has."""
    outcome = judge([found])
    assert outcome.conforms, [(finding.clause, finding.message) for finding in outcome.findings]
    assert {finding.clause for finding in outcome.findings if finding.severity == "warning"} <= UNAVOIDABLE
    legacy = plain_memory_legacy.read(data, setup.word, setup.guest)
    assert plain_memory.differences(legacy, plain_memory_v3.read(found)) == []


def _few(step: int, start: int = 0) -> Iterator[Setup]:
    return islice(SETUPS, start, None, step)


@pytest.mark.parametrize("number", range(8))
def test_each_release(number: int) -> None:
    """What each release wrote, of each kind of guest, in each way, comes out as the same guest."""
    for setup in _few(8, number):
        data = saved(setup)
        for wrapped in (True, False):
            result, found = converted(data, **_options(setup, wrapped))
            assert result.done, named(setup)
            _same(data, setup, found)


@given(setup=plain_drawn.setups(), wrapped=st.booleans(), keeping=st.booleans())
@settings(max_examples=60)
def test_any_guest(setup: Setup, wrapped: bool, keeping: bool) -> None:
    """So does any other; from a pipe the same bytes come as from a file, but VERIFY where checkpoints may follow."""
    data = saved(setup)
    options = _options(setup, wrapped, keeping=keeping)
    result, found = converted(data, **options)
    again, piped = converted(data, "pipe", **options)

    assert result.done
    assert again.done
    _same(data, setup, found)
    if setup.verify and keeping:
        _same(data, setup, piped)
    else:
        assert piped == found


@given(drawn=plain_drawn.unusual(), wrapped=st.booleans())
@settings(max_examples=60)
def test_what_only_readers_took(drawn: plain_drawn.Drawn, wrapped: bool) -> None:
    """What no release wrote is converted as receivers took it, or judged and refused."""
    result, found = converted(drawn.stream, **_options(drawn.setup, wrapped))
    if result.done:
        _same(drawn.stream, drawn.setup, found)
    else:
        assert result.outcome.errors, drawn.change


@given(drawn=plain_drawn.cut() | plain_drawn.mutated(), way=st.sampled_from(["file", "pipe"]))
@settings(max_examples=150)
def test_damage(drawn: plain_drawn.Drawn, way: str) -> None:
    """What is damaged is refused with a place, or was no damage to what receivers take."""
    result, found = converted(drawn.stream, way, **_options(drawn.setup, True))
    if not result.done:
        assert result.status == 1
        assert result.failure is None
        assert result.outcome.errors or result.unfit or result.outcome.verdict == "not judged", drawn.change
        return
    assert judge([found]).conforms, drawn.change


# Xen 3.0 does not say that a stream ends, nor how the clock stands: after its image little shows that END is one.
OLDEST = Setup("3.0.4", "pv", p2m_size=24, holes=())


@pytest.mark.parametrize("word", [4, 8])
@pytest.mark.parametrize("place", [0, 64, 4096])
@pytest.mark.parametrize("added", [bytes(4), b"\1\2\3\4", b"\xff\xff\xff\xff"], ids=["zeros", "others", "ones"])
def test_what_follows_a_tail(word: int, place: int, added: bytes) -> None:
    """Bytes too many, in the last page or after it, leave some after the stream: these are reported, and not copied."""
    setup = OLDEST._replace(word=word, guest_word=word)
    *_, (_, page) = parts = pieces(setup)
    before = b"".join(data for _, data in parts[:-1])
    data = before + page[:place] + added + page[place:]
    for wrapped in (True, False):
        found = {way: converted(data, way, **_options(setup, wrapped)) for way in ("file", "pipe")}
        _, whole = converted(data[: -len(added)], **_options(setup, wrapped))

        assert judge([whole]).conforms
        assert [output for _, output in found.values()] == [whole, whole]
        for result, _ in found.values():
            dropped = [row for row in result.report if row.rule == "DROP-TRAILING"]
            assert [(row.offset, row.detail[:8]) for row in dropped] == [(len(data) - 4, "4 bytes,")]


@pytest.mark.parametrize("kind", [plain_memory.BROKEN, plain_memory.XALLOC])
def test_a_compressed_body_ends_without_contents(kind: int) -> None:
    """Frames whose contents do not come count, too, where a batch of them comes after all contents."""
    setup = Setup(checkpoints=1, compressed=True, holes=(12,))
    parts = pieces(setup)
    last = max(at for at, (name, _) in enumerate(parts) if name == "COMPRESSED_DATA") + 1
    data = b"".join(raw for _, raw in [*parts[:last], ("", batch(8, [entry(kind, 12)], b"")), *parts[last:]])
    result, found = converted(data, **_options(setup, True))

    assert result.done
    _same(data, setup, found)


# -- what the strategies make ---------------------------------------------------------------------------------

# Legacy streams by themselves, and in each file that can have one inside.
OLDER = made(("legacy-64", "legacy-32", "xend", "xapi-legacy"), versions=VERSIONS[:1]) | made(
    ("xl", "libvirt", "xapi"), versions=(OLD,)
)


def _wanted(sample: Sample, **more: Any) -> dict[str, Any]:
    """Options for a sample: whatever may be lost is."""
    return {"form": sample.form, "guest": sample.guest, "allow_loss": True, **more}


@given(sample=OLDER, keeping=st.booleans(), way=WAYS)
@settings(max_examples=40)
def test_any_drawn_stream(sample: Sample, keeping: bool, way: str) -> None:
    """Any legacy stream, in any file, converts to a conforming stream, or is refused by a rule that says why."""
    result, found = converted(sample.data, way, **_wanted(sample, keeping=keeping))
    if result.unfit:
        # A structured XAPI image has another record for the state of an HVM guest.
        assert {line.rule for line in result.unfit} <= ALWAYS_REFUSED
        return
    assert result.done
    outcome = judge([found])
    assert outcome.conforms, [(finding.clause, finding.message) for finding in outcome.findings]


@given(data=st.data(), way=WAYS)
@settings(max_examples=40)
def test_any_drawn_damage(data: st.DataObject, way: str) -> None:
    """Any cut or damage is refused with a clause and its place, or what is left of the stream is one that conforms."""
    sample = data.draw(OLDER)
    raw = data.draw(cuts(sample).map(lambda short: short.data) | mutations(sample))
    result, found = converted(raw, way, **_wanted(sample))
    if result.done:
        assert judge([found]).conforms
        return
    assert result.status == 1
    assert result.failure is None
    assert all(0 <= finding.offset <= len(raw) for finding in result.outcome.findings)
    assert result.outcome.errors or result.unfit or result.outcome.verdict == "not judged"


# -- containers -----------------------------------------------------------------------------------------------

PLAIN = next(setup for setup in SETUPS if setup.release == "4.4" and setup.guest == "hvm" and setup.word == 8)
PV = next(setup for setup in SETUPS if setup.release == "4.4" and setup.guest == "pv" and setup.word == 8)


@pytest.mark.parametrize("setup", [PLAIN, PV], ids=["hvm", "pv"])
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_files_around_a_stream(setup: Setup, way: str) -> None:
    """The header of what can hold a new stream says that it does, the rest stays; what cannot is lost."""
    data = saved(setup)
    _, bare = converted(data, **_options(setup, True))
    image = converted(data, **_options(setup, False))[1]
    wrap: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
        "xl": (plain_wrappers.xl, plain_wrappers.xl(bare, flags=plain_wrappers.XL_V2)),
        "libvirt": (plain_wrappers.libvirt, plain_wrappers.libvirt(bare, version=2)),
        "xapi": (plain_wrappers.xapi, bare),
        "xend": (plain_wrappers.xend, bare),
    }
    for name, (around, expected) in wrap.items():
        lossy, nothing = converted(around(data), way, guest=setup.guest)
        result, found = converted(around(data), way, guest=setup.guest, allow_loss=True)
        assert result.done, name
        assert found == expected, name
        assert lossy.done == (name != "xend")
        assert lossy.done or (not nothing if way == "file" else True)
        assert [line.rule for line in lossy.unfit] == (["LOSE-HEADER"] if name == "xend" else [])
    refused, _ = converted(plain_wrappers.xl(data), way, guest=setup.guest, wrapped=False)
    assert [line.rule for line in refused.unfit] == ["REFUSE-BARE"]
    refused, _ = converted(plain_wrappers.xapi_records(data), way, guest=setup.guest, wrapped=True)
    assert [line.rule for line in refused.unfit] == ["REFUSE-LIBXL"]
    records, found = converted(plain_wrappers.xapi_records(data), way, guest=setup.guest)
    if setup.guest == "pv":
        assert found == plain_wrappers.xapi_records(image).replace(b"\xf2\0\0", b"\xf0\0\0", 1)
    else:
        bare, sign, state = image.partition(b"DeviceModelRecord0002")
        assert sign
        record = struct.pack("<qq", plain_wrappers.XAPI_QEMU, len(state) - 4) + state[4:]
        expected = plain_wrappers.xapi_records(bare).replace(b"\xf2\0\0", b"\xf0\0\0", 1)
        assert found == expected[:-16] + record + expected[-16:]
        assert "MAP-QEMU-RECORD" in {line.rule for line in records.report}
        assert judge([found]).conforms


def test_what_the_report_names() -> None:
    """The generation id, which is another thing from Xen 4.5 on, and what known tools leave after a stream."""
    plain = _without(PLAIN)
    followed = _without(PV, saved(PV) + bytes(4096))
    texts = [line.text for line in (*plain.report, *followed.report)]

    assert "address of the generation id to parameter 34: 0x50f0" in texts
    assert "what follows the stream: 4,096 bytes, zeros up to the end, as on a block device" in texts


# -- losses and refusals --------------------------------------------------------------------------------------


def _without(setup: Setup, stream: bytes = b"") -> Result:
    return converted(stream or saved(setup), form=f"legacy-{8 * setup.word}", guest=setup.guest)[0]


def test_losses() -> None:
    """What the output cannot say is refused, each with its rule, unless that is allowed."""
    tmem = next(setup for setup in SETUPS if setup.tmem)
    freed = PV._replace(unmapped=(3, 4, 18))

    assert [line.rule for line in _without(tmem).unfit] == ["LOSE-TMEM"]
    assert [(line.rule, line.count) for line in _without(freed).unfit] == [("LOSE-UNMAPPED", 3)]
    assert _without(PLAIN).done
    assert _without(PV).done
    named = saved(PLAIN._replace(regions=[Physmap(1, 2, 3, b"a\xff"), Physmap(4, 5, 6, b"b")]))
    assert [line.rule for line in _without(PLAIN, named).unfit] == ["LOSE-NAME"]
    _, left = converted(named, **_options(PLAIN, True))
    assert judge([left]).conforms
    assert b"physmap/4/name\0b\0" in left
    # QEMU's state of Xen 4.0 goes on to the end of the input, where other records of XAPI's are.
    endless, _ = converted(plain_wrappers.xapi_records(saved(Setup("4.0"))), guest="hvm", allow_loss=True)
    assert [line.rule for line in endless.unfit] == ["REFUSE-STATE"]


@pytest.mark.parametrize("release", ["3.0.2", "4.0"])
def test_guests_without_pae(release: str) -> None:
    """A 32-bit guest whose top page table is of the second level is refused, whatever is allowed."""
    setup = Setup(release, "pv", 4, 4, levels=2)
    result, found = converted(saved(setup), **_options(setup, True))

    assert [line.rule for line in result.unfit] == ["REFUSE-LEVELS"]
    assert not found


def test_cut_checkpoints() -> None:
    """Of a checkpoint that is not whole nothing is left, and those before it are as if the stream ended there."""
    setup = next(one for one in SETUPS if one.checkpoints and one.compressed and one.guest == "hvm")
    whole = saved(setup)
    parts = pieces(setup)
    ends = [place for place, (name, _) in enumerate(parts) if name == "QEMU"]
    second = sum(len(raw) for _, raw in parts[: ends[1] + 1])
    for keeping in (False, True):
        options = _options(setup, True, keeping=keeping)
        _, expected = converted(whole[:second], **options)
        for way in ("file", "pipe"):
            for more in (1, 4000, 20_000):
                result, found = converted(whole[: second + more], way, **options)
                assert result.done
                assert found == expected, (keeping, way, more)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The options reach the converter, and the report names what was done."""
    source, target = tmp_path / "old", tmp_path / "new"
    source.write_bytes(saved(PLAIN))
    words = ["convert", "--width", "64", "--guest", "hvm", str(source), str(target)]

    assert main(words) == 0
    text = capsys.readouterr().out
    assert "MAP-PAGES" in text
    assert "converted" in text
    assert main([*words, "--to", "libxc"]) == 0
    assert target.read_bytes() == converted(saved(PLAIN), **_options(PLAIN, False))[1]
    assert main(["convert", "--width", "32", "--guest", "hvm", str(source), str(target)]) == 1
