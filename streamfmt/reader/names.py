"""Names of inputs as JSON has them: a file's name is bytes, and JSON is text."""

from __future__ import annotations

import os


def named(name: str) -> dict[str, str]:
    """`file`, the name; where it is not UTF-8, with \\xNN for what is not, and `file_bytes`, all of it in hexadecimal.

    >>> named(os.fsdecode(b"guest\\xff.sav"))
    {'file': 'guest\\\\xff.sav', 'file_bytes': '6775657374ff2e736176'}
    """
    data = os.fsencode(name)
    try:
        return {"file": data.decode()}
    except UnicodeDecodeError:
        return {"file": data.decode(errors="backslashreplace"), "file_bytes": data.hex()}
