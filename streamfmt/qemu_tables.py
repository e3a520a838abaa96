"""Machine types of QEMU, written by `python -m streamfmt.schema.compile`.  Do not edit.

spec/qemu-machines.toml has it all, with sources, and `schema.qemu_machines` says what the values are.
"""

from __future__ import annotations

RELEASES = ('5.2', '7.2', '10.0', '11.1')
VERSIONS = (
    '1.4',
    '1.5',
    '1.6',
    '1.7',
    '2.0',
    '2.1',
    '2.2',
    '2.3',
    '2.4',
    '2.5',
    '2.6',
    '2.7',
    '2.8',
    '2.9',
    '2.10',
    '2.11',
    '2.12',
    '3.0',
    '3.1',
    '4.0',
    '4.0.1',
    '4.1',
    '4.2',
    '5.0',
    '5.1',
    '5.2',
    '6.0',
    '6.1',
    '6.2',
    '7.0',
    '7.1',
    '7.2',
    '8.0',
    '8.1',
    '8.2',
    '9.0',
    '9.1',
    '9.2',
    '10.0',
    '10.1',
    '10.2',
    '11.0',
    '11.1',
)
MACHINES: dict[str, tuple[str, str, dict[int, int], dict[int, int], tuple[bytes, ...]]] = {
    'pc-i440fx': ('pc', '', {0: 67108863, 1: 4294967295, 2: 549755813632, 3: 8796059467776}, {0: 25, 1: 31, 2: 38, 3: 42}, (b'I440FX', b'PIIX3', b'piix4_pm')),
    'pc-q35': ('q35', '', {0: 67108608, 1: 4294967040, 2: 549755813632, 3: 8796059467776}, {0: 25, 1: 31, 2: 38, 3: 42}, (b'mch', b'ICH9LPC', b'ich9_smb')),
    'xenfv': ('', 'pc-i440fx', {0: 4456448, 1: 4456448, 2: 4456448, 3: 4194304}, {0: 18, 1: 18, 2: 18, 3: 22}, ()),
    'isapc': ('', '', {}, {}, ()),
    'microvm': ('', '', {}, {}, ()),
    'none': ('', '', {}, {}, ()),
}
SECTIONS: dict[tuple[bytes, int], tuple[str, tuple[tuple[int, int], ...], tuple[tuple[bytes, int, int, int, int, bool, int, int], ...]]] = {
    (b'piix4_pm', 3): ('pc-i440fx', ((312, 15), (2356, 524272), (2404, 536346624), (2408, 8795556151296)), ((b'piix4_pm/memhp', 24, 0, 8796093022176, 15, False, 15, 8796093022207), (b'piix4_pm/cpuhp', 35, 10, 8796093022207, 8, True, 15, 8796093022207))),
    (b'ICH9LPC', 1): ('pc-q35', ((16803, 8796093021952),), ((b'ich9_pm/pcihp', 2075, 0, 8795958804480, 15, False, 14, 8796093022207), (b'ich9_pm/cpuhp', 34, 10, 8796093022207, 8, True, 15, 8796093022207))),
    (b'ich9_smb', 1): ('pc-q35', ((276, 524032), (325, 8796092497920)), ()),
    (b'pckbd', 3): ('', ((4, 8796093022207),), ((b'pckbd/extended_state', 36, 0, 8795958804480, 15, False, 14, 8796093022207),)),
    (b'fw_cfg', 2): ('', ((6, 8796093022207),), ((b'fw_cfg/dma', 24, 0, 8796093021696, 15, False, 15, 8796093022207), (b'fw_cfg/acpi_mr', 44, 0, 8796084633600, 15, False, 15, 8796093022176))),
}
ORDERS = ((b'dma', b'PIIX3', 14), (b'dma', b'ICH9LPC', 14), (b'mc146818rtc', b'PIIX3', 12), (b'mc146818rtc', b'ICH9LPC', 12), (b'apic', b'cpu_common', 8))
WRITTEN = {11: 12}
REFUSED_COMMANDS = {11: 3, 8: 8}
REFUSED_WORDS = {280: 3, 281: 3, 278: 12, 279: 12}
REFUSED_CAPABILITIES = {b'mapped-ram': 3}
REFUSED_SECTIONS = {b'block': 12}
