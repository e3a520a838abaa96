"""A container and a record format that are in no use: what a schema has to say of a new layer, and no more.

A crate has a header of integers of three bytes, one body with a nested structure and a choice, and then beads; those
are records with a counted list of counted strings and a trailer after it.
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Int8ul, Int16ub, Int16ul, Int24ul, Int32ul, Struct, Switch, this

from ...schema.layer_type import LayerType
from ...schema.model import Allowed, RecordType
from ...schema.states import OrderRule

CRATE_HEADER = Struct(
    "magic" / Const(b"toycrate", Bytes(8)) * "The letters of a crate.",
    "length" / Int24ul * "Octets of the label.",
)
LABEL = RecordType(
    0,
    "LABEL",
    Struct(
        "size" / Struct("width" / Int16ub * "Across.", "height" / Int16ub * "Upwards."),
        "kind" / Allowed(Int8ul, (1, 2)) * "Which owner follows.",
        "owner" / Switch(this.kind, {1: Int32ul, 2: Bytes(3)}) * "A number, or letters.",
    ),
    "What is written on the crate.",
    "this test",
)
BEADS_HEADER = Struct("ident" / Const(b"BEADS\n", Bytes(6)) * "The letters of beads.")
RECORD_HEADER = Struct("type" / Int8ul * "Which record.", "length" / Int16ul * "Octets of its body.")
BEADS = (
    RecordType(0, "END", Struct(), "No more beads.", "this test"),
    RecordType(
        1,
        "STRING",
        Struct(
            "count" / Int8ul * "How many beads.",
            "beads"
            / Array(
                this.count,
                Struct("length" / Int8ul * "Of the name.", "name" / Bytes(this.length) * "What the bead is called."),
            )
            * "One after the other.",
            "knot" / Const(0x6B6E, Int16ul) * "What keeps them together.",
        ),
        "Beads on a string.",
        "this test",
    ),
)
_HERE = "tests.support"
LAYERS = (
    LayerType(
        "crate",
        "The toy crate",
        (("header", "File header.", "this test", CRATE_HEADER),),
        (LABEL,),
        f"{_HERE}.toy_programs:crate",
        f"{_HERE}.toy_checks:Crate",
        ("magic",),
        length="length",
        holds=("beads",),
        truncated="CRATE-CUT",
    ),
    LayerType(
        "beads",
        "The toy beads",
        (
            ("header", "How beads begin.", "this test", BEADS_HEADER),
            ("record_header", "Header of every record.", "this test", RECORD_HEADER),
        ),
        BEADS,
        f"{_HERE}.toy_programs:beads",
        f"{_HERE}.toy_checks:Beads",
        ("ident",),
        rules=(OrderRule("BEADS-NONE", on=("END",), unseen=("STRING",)),),
        align=4,
        length_max=64,
        end="END",
        truncated="BEADS-CUT",
        unknown=("BEADS-UNKNOWN",),
        padding="BEADS-PADDING",
        too_long="BEADS-LONG",
        trailing="BEADS-LAST",
    ),
)
