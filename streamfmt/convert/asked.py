"""What the options of our two commands ask of a conversion: `streamfmt convert`, and the drop-in convert-legacy-stream.

Both commands and the corpus's golden conversions go by this.
"""

from __future__ import annotations

from .. import tables
from ..reader.identify import widths
from .part import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .wrappers import Wrapper

# Whether the image of a legacy stream is in a libxl stream afterwards, by what it is to become.
TARGETS = {"libxl": True, "libxc": False}
CHECKPOINTS = ("flatten", "keep")
# By whether there is xl's header: what the drop-in's input is.
INPUTS = ("legacy", "xl")
# What the script leaves out as well, or what no guest misses.
LEFT_OUT = ("LOSE-NAME", "LOSE-TOOLSTACK", "LOSE-UNMAPPED")


def of_convert(
    *,
    form: str = "auto",
    guest: str | None = None,
    width: str | None = None,
    to: str | None = None,
    checkpoints: str = CHECKPOINTS[0],
    repair: bool = False,
    allow_loss: bool = False,
    wrapper: Wrapper | None = None,
    severity: Mapping[str, str] = tables.SEVERITY,
) -> Options:
    """What the options of `streamfmt convert` ask for, by their names; `wrapper` is what --container makes."""
    return Options(
        widths()[int(width)] if width else form,
        repair,
        severity,
        guest=guest,
        allow_loss=allow_loss,
        wrapped=None if to is None else TARGETS[to],
        keeping=checkpoints == "keep",
        wrapper=wrapper,
    )


def wraps(given: Mapping[str, str]) -> bool:
    """Whether these options of the drop-in want the image in a libxl stream."""
    return TARGETS.get(given.get("format", ""), False)


def headed(given: Mapping[str, str]) -> bool:
    """Whether the input has xl's header by them."""
    return given.get("xl") is not None


def of_script(given: Mapping[str, str]) -> Options:
    """What the drop-in's options ask for, by their long names; those without a value have an empty one."""
    wrapped = wraps(given)
    return Options(
        INPUTS[headed(given)],
        guest=given["guest-type"],
        allow_loss=LEFT_OUT,
        wrapped=wrapped,
        device_model=wrapped or "skip-qemu" not in given,
        width=int(given["width"]),
        exact=True,
    )
