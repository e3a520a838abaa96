"""Reads a file of memory through volatility3's layers; python volatility_layers.py KIND FILE, in its own environment.

KIND is raw, elf or lime.  Prints a line for each range that the layer knows, and for each page in it a hash of what
the layer gives, as JSON: {"ranges": [[address, length], ...], "pages": {frame: hash}}.
"""

import hashlib
import json
import pathlib
import sys

from volatility3.framework import contexts
from volatility3.framework.layers import elf, lime, physical

PAGE = 4096


def layer(kind, path):
    """The layer of a file, stacked on that of its bytes."""
    context = contexts.Context()
    context.config["base.location"] = pathlib.Path(path).resolve().as_uri()
    base = physical.FileLayer(context, "base", "base")
    context.add_layer(base)
    if kind == "raw":
        return base
    context.config["memory.base_layer"] = "base"
    if kind == "lime":
        return lime.LimeLayer(context, "memory", "memory")
    return elf.Elf64Stacker.stack(context, "base")


def main(kind, path):
    found = layer(kind, path)
    ranges = [[0, found.maximum_address + 1]]
    if kind != "raw":
        ranges = [[address, length] for address, _, length, _ in found._segments]
    pages = {}
    for address, length in ranges:
        for at in range(address, address + length, PAGE):
            pages[at // PAGE] = hashlib.blake2b(found.read(at, PAGE)).hexdigest()
    print(json.dumps({"ranges": ranges, "pages": pages}))


if __name__ == "__main__":
    main(*sys.argv[1:])
