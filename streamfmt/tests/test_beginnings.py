"""What follows a stream is one thing to every command: verify and show give it the same name, after every layer."""

from __future__ import annotations

import pytest

from .. import tables
from ..checks.outcome import Outcome
from ..reader.identify import following
from .support.good_streams import GOOD, LIBVIRT_HVM, MIGRATION, XAPI_HVM, XL_HVM
from .support.show_output import Show
from .support.vector import judge

STREAMS = {
    "libxl": GOOD["libxl-hvm"],
    "libxc": GOOD["hvm"],
    "xl": XL_HVM,
    "libvirt": LIBVIRT_HVM,
    "xapi": XAPI_HVM,
    "migration": MIGRATION,
}
ENDS = {
    **{f"{name[:30]} {more}": data + bytes(7 * more) for data, _, name in tables.TRAILERS for more in (0, 1)},
    **{name: data + b"....." for _, kind, place, data, name in tables.MAGICS if kind == "container" and not place},
    "zeros": bytes(100),
    "text": b"no more than that\n",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("form", STREAMS)
def test_what_follows_has_one_name(form: str, end: str, show: Show) -> None:
    """The words of the finding are those of `show`'s remark, and both are the lookup's."""
    data = STREAMS[form].render() + ENDS[end]
    outcome: Outcome = judge([data])
    _, words = following(ENDS[end][:64], len(ENDS[end]), not any(ENDS[end]))
    (finding,) = [found for found in outcome.findings if found.offset == len(data) - len(ENDS[end])]
    _, text = show(data)

    assert words in finding.message
    assert words in " ".join(text.split())
