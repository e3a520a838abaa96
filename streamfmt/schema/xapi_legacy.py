"""XAPI suspend image of before the structured one: a line, then a legacy stream.

Source: xen-api ocaml/xenopsd/xc/domain.ml.
"""

from __future__ import annotations

from construct import Bytes, Const, Struct

SIGNATURE = b"XenSavedDomain\n"

HEADER = Struct("signature" / Const(SIGNATURE, Bytes(len(SIGNATURE))) * "The letters that identify the image.")
HEADER_SOURCE = "xen-api ocaml/xenopsd/xc/domain.ml, save_signature"
