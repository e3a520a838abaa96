"""Coverage-guided fuzzing of `streamfmt.open`: every record is read in each way, and all that may come is an error."""

from contextlib import suppress

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.api import Record
    from streamfmt.api import open as open_stream
    from streamfmt.errors import LimitError, MalformedError, StreamError

# What a body may have, which keeps inputs quick.
_LIMIT = 1 << 16


def one(data: bytes) -> None:
    """Bodies are read as bytes, as fields, and as pages where they are pages, in turn."""
    with suppress(StreamError), open_stream(data) as stream:
        for number, item in enumerate(stream):
            if isinstance(item, Record):
                with suppress(LimitError, MalformedError):
                    _look(item, number)


def _look(record: Record, number: int) -> None:
    if number % 3 == 0:
        record.read(_LIMIT)
        record.tail()
    elif record.name == "PAGE_DATA" and record.layer.endswith("libxc"):
        for batch in record.pages(_LIMIT):
            repr(batch)
    elif number % 3 == 1:
        record.fields(_LIMIT)
    else:
        for piece in record.chunks():
            len(piece)


if __name__ == "__main__":
    main(one)
