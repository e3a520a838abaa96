"""Interrupt controllers and the interval timer: KVM's structures into entries of an HVM context, and back.

KVM keeps the level of a line with each controller, Xen beside them, in the entry ISA_IRQ; and when a counter of the
timer was loaded Xen does not say: it counts anew from then on, and so does KVM after this.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from ...payload_tables import LISTS
from . import kvm_api as api
from . import kvm_state
from .hvm_entries import Entry, Fields, Read, Rows, made

_SIZES = kvm_state.sizes()
_REDIRECTIONS, _REDIRECTION_SIZE, _, _PINS = LISTS["hvm.IOAPIC"]["redirtbl"]
# Of a redirection entry (Intel 82093AA manual, section 3.2.4).
_LEVEL, _MASKED = 1 << 15, 1 << 16
# The lines that interrupt controllers and I/O APIC share.
_LINES = (1 << 16) - 1
_CONTROLLERS = ("pic_master", "pic_slave")
_IOAPIC_CHIP = 2
_IOAPIC_FIELDS = ("base_address", "ioregsel", "id")
# Fields of a controller that both name alike, and those that are a bit among its modes.
_PIC_SAME = ("irr", "imr", "isr", "irq_base", "elcr")
_PIC_MODES = {
    "special_mask_mode": "special_mask",
    "special_fully_nested_mode": "special_fully_nested_mode",
    "rotate_on_auto_eoi": "rotate_on_auto_eoi",
    "auto_eoi": "auto_eoi",
    "poll": "poll",
    "readsel_isr": "read_reg_select",
}


def entries(machine: Mapping[str, bytes]) -> Iterator[Entry]:
    """All of them; see :func:`.hvm.entries`."""
    lines = 0
    for number, name in enumerate(_CONTROLLERS):
        values = kvm_state.pic(machine[name])
        lines |= values["last_irr"] << 8 * number
        yield Entry("PIC", number, made("PIC", _pic(values, not number)))
    values, redirections = kvm_state.ioapic(machine["ioapic"])
    rest = [_MASKED] * (int(_PINS) - len(redirections))
    table = b"".join(it.to_bytes(_REDIRECTION_SIZE, "little") for it in (*redirections, *rest))
    own = {name: values[name] for name in _IOAPIC_FIELDS}
    yield Entry("IOAPIC", 0, made("IOAPIC", {**own, "redirtbl": table}))
    yield Entry("ISA_IRQ", 0, made("ISA_IRQ", {"asserted": lines | values["irr"] & _LINES}))
    rows, flags = kvm_state.pit(machine["pit"])
    channels = [{name: value for name, value in row.items() if name != "count_load_time"} for row in rows]
    speaker = int(bool(flags & api.PIT_SPEAKER_ON))
    yield Entry("PIT", 0, made("PIT", {"channels": channels, "speaker_data_on": speaker}))


def _pic(values: Mapping[str, int], master: bool) -> Fields:
    """An interrupt controller.

    Of the initialisation Xen keeps, beside how far it is, whether a fourth command comes, and whether it is alone
    (xen/include/public/arch-x86/hvm/save.h, struct hvm_hw_vpic); KVM's controllers are never alone.
    """
    at = values["init_state"]
    modes = {f"modes.{name}": values[kvm] for name, kvm in _PIC_MODES.items()}
    asks = _first(values["irr"] & ~values["imr"], values) < _first(values["isr"], values)
    return {
        **{name: values[name] for name in _PIC_SAME},
        **modes,
        "modes.unused": 0,
        "modes.is_master": int(master),
        "state.priority_add": values["priority_add"],
        "state.init_state": at | values["init4"] << 2 if at else 0,
        "int_output": int(not at and asks),
    }


def _first(lines: int, values: Mapping[str, int]) -> int:
    """How far down from the highest priority the first of these lines is; 8 if there is none."""
    turned = (lines << 8 | lines) >> values["priority_add"] & 0xFF
    return (turned & -turned).bit_length() - 1 if turned else 8


def machine(rows: Rows, model: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the entries say; `model` is of a machine that has just been made, for what they do not."""
    found = dict(model)
    lines = rows["ISA_IRQ", 0].fields["asserted"] if ("ISA_IRQ", 0) in rows else 0
    for number, name in enumerate(_CONTROLLERS):
        if (row := rows.get(("PIC", number))) is not None:
            mask = kvm_state.pic(model[name])["elcr_mask"]
            values = {**_pic_back(row.fields), "last_irr": lines >> 8 * number & 0xFF, "elcr_mask": mask}
            found[name] = kvm_state.to_pic(values, number, _SIZES[name])
    if (row := rows.get(("IOAPIC", 0))) is not None:
        found["ioapic"] = _ioapic_back(row, lines)
    if (row := rows.get(("PIT", 0))) is not None:
        channels = [{**channel, "count_load_time": time.monotonic_ns()} for channel in row.fields["channels"]]
        flags = api.PIT_SPEAKER_ON if row.fields["speaker_data_on"] else 0
        found["pit"] = kvm_state.to_pit(channels, flags, _SIZES["pit"])
    return found


def _pic_back(values: Fields) -> dict[str, int]:
    at = values["state.init_state"]
    return {
        **{name: values[name] for name in _PIC_SAME},
        **{kvm: values[f"modes.{name}"] for name, kvm in _PIC_MODES.items()},
        "priority_add": values["state.priority_add"] & 7,
        "init_state": at & 3,
        "init4": at >> 2 & 1,
    }


def _ioapic_back(row: Read, lines: int) -> bytes:
    at = int(_REDIRECTIONS)
    places = range(at, at + api.IOAPIC_PINS * _REDIRECTION_SIZE, _REDIRECTION_SIZE)
    words = tuple(int.from_bytes(row.data[place : place + _REDIRECTION_SIZE], "little") for place in places)
    # Of a line that is high, an edge that was delivered waits no more; a level does, or an edge that is held back.
    waiting = sum(1 << pin for pin, word in enumerate(words) if lines & _LINES & 1 << pin and word & (_LEVEL | _MASKED))
    values = {**{name: row.fields[name] for name in _IOAPIC_FIELDS}, "irr": waiting}
    return kvm_state.to_ioapic(values, words, _IOAPIC_CHIP, _SIZES["ioapic"])
