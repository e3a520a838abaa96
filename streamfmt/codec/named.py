"""Places in lists whose elements say what they are about: leaves and MSRs of policies, and HVM parameters, by names.

A path of `edit` or of a recipe has such a name where it could have an element's number: "X86_CPUID_POLICY.avx2",
"X86_MSR_POLICY.rdcl_no", "HVM_PARAMS.VIRIDIAN.apic_assist".
"""

from __future__ import annotations

from ..schema import features, hvm_params
from ..schema.hvm import PARAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Fields that an element has to have with these values; the field in which it lies, shift, bits, names of values.
Wanted = tuple[dict[str, int], str, int, int, dict[int, str]]

# The list that a record has of what is looked for, by the record's name.
LISTS = {"X86_CPUID_POLICY": "leaves", "X86_MSR_POLICY": "msrs", "HVM_PARAMS": "params"}


def wanted(record: str, name: str) -> list[Wanted]:
    """Where something of that name may lie in a record; nothing if there is nothing of that name."""
    return list(_KINDS[record](name)) if record in _KINDS else []


def _feature(name: str) -> Iterator[Wanted]:
    for row in features.FEATURES:
        if row.name == name:
            yield {"leaf": row.leaf, "subleaf": row.subleaf}, row.register, row.shift, row.bits, {}


def _msr(name: str) -> Iterator[Wanted]:
    for index, names in features.MSR_BITS.items():
        for shift, known in names.items():
            if known == name:
                yield {"index": index}, "value", shift, 1, {}


def _param(name: str) -> Iterator[Wanted]:
    param, _, inner = name.partition(".")
    index = PARAMS.get(param)
    if index is None:
        return
    if not inner:
        yield {"index": index}, "value", 0, 64, {}
    for known, row, _ in hvm_params.all_fields():
        if known == param and row.name == inner:
            yield {"index": index}, "value", row.shift, row.bits, row.names


_KINDS = {"X86_CPUID_POLICY": _feature, "X86_MSR_POLICY": _msr, "HVM_PARAMS": _param}
