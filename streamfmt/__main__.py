"""``python -m streamfmt``."""

from .cli.main import entry

entry()
