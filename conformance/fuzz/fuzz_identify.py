"""Coverage-guided fuzzing of `streamfmt.identify`: whatever the bytes are, they are something."""

from typing import Any

from streamfmt.fuzz.harness import Pieces, instrumented, main

with instrumented():
    from streamfmt.api import identify
    from streamfmt.errors import StreamError


def one(data: bytes) -> None:
    """It answers the same however the bytes come."""
    assert _said(data) == _said(Pieces(data))


def _said(source: Any) -> Any:
    """What it is, or that what wraps the stream is damaged."""
    try:
        return identify(source).as_dict()
    except StreamError as error:
        return str(error)


if __name__ == "__main__":
    main(one)
