"""``python -m streamfmt.bench``."""

from .run import main

raise SystemExit(main())
