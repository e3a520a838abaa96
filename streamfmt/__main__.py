"""``python -m streamfmt``."""

from .cli.main import main

raise SystemExit(main())
