"""Coverage-guided fuzzing of `streamfmt.verify`: any bytes are judged, and how they are cut makes no difference."""

from typing import Any

from streamfmt.fuzz.harness import Pieces, instrumented, main

with instrumented():
    from streamfmt.api import verify
    from streamfmt.checks.layer import MODES
    from streamfmt.errors import StreamError


def one(data: bytes) -> None:
    """The length says which mode is declared, so that any stream as it is can be among the inputs."""
    mode = MODES[len(data) % len(MODES)]
    assert _said(data, mode) == _said(Pieces(data), mode)


def _said(source: Any, mode: Any) -> Any:
    """The outcome, or that what wraps the stream is damaged."""
    try:
        return verify(source, mode=mode, deep=True).as_dict()
    except StreamError as error:
        return str(error)


if __name__ == "__main__":
    main(one)
