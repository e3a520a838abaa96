"""What a layer's row says, and that rows fit the schemas, the code and one another."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from construct import Construct

from ..errors import SchemaError
from . import states
from .model import RecordType


@dataclass(frozen=True, slots=True)
class LayerType:
    """One layer.

    `headers` are (name, meaning, source, declaration); the one named "record_header" stands before each record, and a
    layer without it has fixed messages, or a single body after its header, whose length is in field `length`.  `align`
    is what records are padded to, `length_max` the longest body that is read on.

    `magic` are the fields of its first header by which it is known, and with which that begins; with a `version` that
    is not known nothing after that header is read.  `optional` is the bit of a record's type that lets readers skip it.

    `program` reads the layer, `checks` is the class that judges it, and `converts` the one that converts or mends it,
    if there is anything to convert or mend; `memory` follows the pages that it has.  Only a `form` can be a whole
    input; an `image` is a guest's memory, and its headers say which guest's.  `text` if its header is a line of text,
    after which more text may come; `big` if all of its integers are big-endian, whatever is announced elsewhere.
    `end` is the record that ends the layer, and `after_end` one that may yet follow.  Layers that differ in nothing but
    the width of words have an `alias` in common: what is declared to be that is found out to be one of them.  `look`
    names what has the layer's magic more closely, by its first bytes.

    `holds` are the layers that may be inside; `opens` says which of its records are followed by which of them.
    `closes` is the record that closes a checkpoint.  `legacy` are field, mask and value of a header that promises a
    legacy stream inside, with no field if that is always so.  `configuration` is the record that has the guest's, after
    fixed fields that begin with its length, if there are any.  `surveys` are records that show which program wrote the
    layer, beside its header: then its facts have a `variant`, and identification reads them too.  `target` is what
    --target calls the program that the layer is for, and what judges it for one of its releases.

    `truncated`, `unknown` (for a record that must be known, and for one that may be skipped), `padding`, `too_long` and
    `trailing` are the clauses about framing that all layers are judged by.
    """

    name: str
    title: str
    headers: tuple[tuple[str, str, str, Construct], ...]
    records: tuple[RecordType, ...]
    program: str
    checks: str
    magic: tuple[str, ...] = ()
    version: str = ""
    rules: tuple[states.OrderRule, ...] = ()
    align: int = 1
    optional: int = 0
    length: str = ""
    length_max: int = 0
    converts: str = ""
    memory: str = ""
    form: bool = True
    image: bool = False
    text: bool = False
    big: bool = False
    alias: str = ""
    look: str = ""
    end: str = ""
    after_end: str = ""
    holds: tuple[str, ...] = ()
    opens: tuple[tuple[str, str], ...] = ()
    closes: str = ""
    legacy: tuple[str, int, int] | tuple[()] | None = None
    configuration: str = ""
    surveys: tuple[str, ...] = ()
    target: tuple[str, str] = ("", "")
    truncated: str = ""
    unknown: tuple[str, ...] = ()
    padding: str = ""
    too_long: str = ""
    trailing: str = ""

    @property
    def kind(self) -> str:
        """What identification calls it: a container, in which other layers are, or a stream."""
        return "container" if self.align == 1 and self.holds else "stream"

    @property
    def signature(self) -> bytes:
        """The bytes of the fields that `magic` names."""
        declaration = self.headers[0][3] if self.headers else None
        return b"".join(getattr(declaration, name).build(None) for name in self.magic)


# What has the rows.
_FILE = "streamfmt/schema/layers.py"


def check(layers: Sequence[LayerType]) -> None:
    """That rows fit the schemas and one another.  Raises SchemaError."""
    names = [layer.name for layer in layers]
    begin: dict[str, bytes] = {}
    for number, layer in enumerate(layers):
        records = {row.name for row in layer.records}
        fields = {member.name for _, _, _, con in layer.headers for member in con.subcons}
        faults = {"it has two rows": layer.name in names[:number]}
        for name in (*layer.magic, layer.version, layer.length):
            faults[f"no header of it has a field {name}"] = bool(name) and name not in fields
        _refuse(layer, faults)
        for other, known in begin.items():
            alike = known.startswith(layer.signature) or layer.signature.startswith(known)
            faults[f"it has the magic of {other}"] = alike and bool(layer.magic)
        faults["what its records are padded to is no power of two"] = bool(layer.align & layer.align - 1)
        faults["it has no clause for padding"] = layer.align > 1 and not layer.padding
        faults["it has no clause for streams that end inside it"] = bool(layer.headers) and not layer.truncated
        kinds = 1 + bool(layer.optional) if any(name == "record_header" for name, *_ in layer.headers) else 0
        faults["it has not a clause for each kind of unknown types"] = len(layer.unknown) != kinds
        faults["it has no clause for records that are too long"] = layer.length_max > 0 and not layer.too_long
        faults["it has no clause for what follows its end"] = bool(layer.end) and not layer.trailing
        for name in (*layer.holds, *(inner for _, inner in layer.opens)):
            faults[f"it holds {name}, which no row is about"] = name not in names
        for name in (
            *(layer.end, layer.after_end, layer.closes, layer.configuration, *layer.surveys),
            *(name for name, _ in layer.opens),
        ):
            faults[f"it has no record {name}"] = bool(name) and name not in records
        if layer.magic:
            begin[layer.name] = layer.signature
        _refuse(layer, faults)


def check_code(layers: Sequence[LayerType], clauses: Collection[str]) -> None:
    """That the code and the clauses exist that rows name.  Raises SchemaError."""
    for layer in layers:
        named = (layer.truncated, layer.padding, layer.too_long, layer.trailing, *layer.unknown)
        faults = {f"there is no clause {name}": bool(name) and name not in clauses for name in named}
        code = (
            ("program", layer.program),
            ("checks", layer.checks),
            ("conversion", layer.converts),
            ("look", layer.look),
        )
        for what, path in (*code, ("memory", layer.memory), ("target", layer.target[1])):
            faults[f"there is no {path} for its {what}"] = path != "" and not _exists(path)
        _refuse(layer, faults)


def _refuse(layer: LayerType, faults: Mapping[str, bool]) -> None:
    for reason, wrong in faults.items():
        if wrong:
            raise SchemaError(f"layer {layer.name!r}", reason, _FILE)


def _exists(path: str) -> bool:
    """Whether the package has what a row names; nothing of it is run for that."""
    module, _, name = path.partition(":")
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        with open(os.path.join(package, *module.split(".")) + ".py", encoding="utf-8") as file:
            return re.search(rf"^(?:def|class) {re.escape(name)}\b", file.read(), re.MULTILINE) is not None
    except OSError:
        return False
