"""Checks that hold an image against the guest's configuration, which the container around it has.

What a configuration does not say, or says in words that are not understood, is not judged.
"""

from __future__ import annotations

from .. import tables
from ..reader.hvm_context import PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..reader.configuration import Configuration
    from ..reader.events import Layer, Record
    from .layer import Context

_TYPE, _VCPUS, _VIRIDIAN = "STREAM-CONFIG-TYPE", "STREAM-CONFIG-VCPUS", "STREAM-CONFIG-VIRIDIAN"


def guest_type(context: Context, found: Configuration, layer: Layer, path: str, at: int) -> None:
    """Judge the guest's type in a domain header of schema path `path`, at stream offset `at`."""
    if not found.image or layer.guest in (None, found.image):
        return
    said, actual = found.type.upper(), str(layer.guest).upper()
    message = f"the configuration says the guest is {said}, the image is of a guest that is {actual}"
    context.report_field(_TYPE, layer, "type", message, said, actual, path, at)


def legacy_type(context: Context, found: Configuration, layer: Layer, at: int) -> None:
    """Judge the guest's type that a legacy stream, at stream offset `at`, looks like."""
    if found.image and layer.guest != found.image:
        said, actual = found.type.upper(), str(layer.guest).upper()
        message = f"the configuration says the guest is {said}, the stream looks like that of one that is {actual}"
        context.report(_TYPE, layer, message, offset=at, expected=said, actual=actual)


def emulator(context: Context, found: Configuration, record: Record) -> None:
    """Judge that an emulator's record is there: PVH guests have none."""
    if found.type == "pvh":
        message = f"the configuration says the guest is PVH, which has no emulator, and there is {record.name}"
        context.report_header(_TYPE, record, "type", message, "no such record", record.name)


def most_vcpus(found: Configuration) -> int | None:
    """How many vcpus the guest may have; None if the configuration does not say that.  None at all means one."""
    return None if found.vcpus is None else max(found.vcpus, 1)


def vcpu(context: Context, record: Record, number: int) -> None:
    """Judge the number of a PV guest's vcpu."""
    found = context.configuration
    most = most_vcpus(found) if found is not None else None
    if most is not None and number >= most:
        from .messages import count  # most numbers are right

        expected = f"below {most}"
        message = f"vcpu {number} has a context, and the configuration gives the guest {count(most, 'vcpu')}"
        context.report_field(_VCPUS, record, "vcpu_id", message, expected, number)


def hvm_vcpu(context: Context, record: Record, number: int, instance: int, at: int) -> None:
    """Judge the highest number of an HVM guest's vcpus: that of entry `number` of a context, at offset `at`."""
    found = context.configuration
    most = most_vcpus(found) if found is not None else None
    if most is not None and instance >= most:
        from .messages import count

        message = f"entry {number} is of vcpu {instance}, and the configuration gives the guest {count(most, 'vcpu')}"
        prefix = f"context[{number}]."
        context.report_field(_VCPUS, record, "instance", message, f"below {most}", instance, PATH, at, prefix)


def legacy_vcpus(context: Context, record: Record, highest: int) -> None:
    """Judge the highest vcpu's number that a legacy stream says."""
    found = context.configuration
    most = most_vcpus(found) if found is not None else None
    if most is not None and highest >= most:
        from .messages import count

        message = f"the highest vcpu is {highest}, and the configuration gives the guest {count(most, 'vcpu')}"
        context.report_field(_VCPUS, record, "max_vcpu_id", message, f"below {most}", highest)


def viridian(context: Context, record: Record, value: int) -> None:
    """Judge the value of the parameter VIRIDIAN, 0 if there is none."""
    found = context.configuration
    if found is None or found.viridian in (None, bool(value)):
        return
    said = "on" if found.viridian else "off"
    actual = f"VIRIDIAN={value:#x}" if value else "no parameter VIRIDIAN"
    message = f"the configuration turns Viridian {said}, the image has {actual}"
    context.report(_VIRIDIAN, record, message, offset=record.body, field="params", expected=said, actual=actual)


def domid(context: Context, record: Record) -> None:
    """Note a domain id that the guest is to have again."""
    found = context.configuration
    if found is not None and found.domid is not None and 0 < found.domid < tables.DOMID_FIRST_RESERVED:
        message = f"the configuration keeps domain id {found.domid}: the guest starts where no other has it"
        context.report("XL-CONFIG-DOMID", record, message, offset=record.body, field="config", actual=found.domid)
