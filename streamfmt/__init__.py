"""The executable specification and conformance suite of Xen migration streams."""

__version__ = "0.1.0"
