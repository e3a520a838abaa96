"""Tables of the reader and the checks, written by `python -m streamfmt.schema.compile`.  Do not edit.

Struct formats carry no byte order unless the layout has one of its own.  Offsets and sizes are bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The row that another layer has as well.
_same: Any

FORMATS: dict[str, str] = {
    'libxl.header': '>8sII',
    'libxl.record_header': 'II',
    'libxl.END': '',
    'libxl.LIBXC_CONTEXT': '',
    'libxl.EMULATOR_XENSTORE_DATA': 'II',
    'libxl.EMULATOR_XENSTORE_DATA.pairs': '',
    'libxl.EMULATOR_CONTEXT': 'II',
    'libxl.CHECKPOINT_END': '',
    'libxl.CHECKPOINT_STATE': 'I',
    'libxc.image_header': '>8sIIHHI',
    'libxc.domain_header': 'IHHII',
    'libxc.record_header': 'II',
    'libxc.END': '',
    'libxc.PAGE_DATA': 'II',
    'libxc.PAGE_DATA.entries': 'Q',
    'libxc.X86_PV_INFO': 'BB6s',
    'libxc.X86_PV_P2M_FRAMES': 'II',
    'libxc.X86_PV_P2M_FRAMES.frames': 'Q',
    'libxc.X86_PV_VCPU_BASIC': 'II',
    'libxc.X86_PV_VCPU_EXTENDED': 'II',
    'libxc.X86_PV_VCPU_XSAVE': 'II',
    'libxc.SHARED_INFO': '4096s',
    'libxc.X86_TSC_INFO': 'IIQII',
    'libxc.HVM_CONTEXT': '',
    'libxc.HVM_CONTEXT.context': 'HHI',
    'libxc.HVM_PARAMS': 'II',
    'libxc.HVM_PARAMS.params': 'QQ',
    'libxc.TOOLSTACK': '',
    'libxc.X86_PV_VCPU_MSRS': 'II',
    'libxc.X86_PV_VCPU_MSRS.msrs': 'IIQ',
    'libxc.VERIFY': '',
    'libxc.CHECKPOINT': '',
    'libxc.CHECKPOINT_DIRTY_PFN_LIST': '',
    'libxc.CHECKPOINT_DIRTY_PFN_LIST.pfns': 'Q',
    'libxc.STATIC_DATA_END': '',
    'libxc.X86_CPUID_POLICY': '',
    'libxc.X86_CPUID_POLICY.leaves': 'IIIIII',
    'libxc.X86_MSR_POLICY': '',
    'libxc.X86_MSR_POLICY.msrs': 'IIQ',
    'legacy-64.header': 'Q',
    'legacy-64.record_header': (_same := 'i'), 'legacy-32.record_header': _same,
    'legacy-64.EXTENDED_INFO': '8sI',
    'legacy-64.EXTENDED_INFO.blocks': (_same := '4sI'), 'legacy-32.EXTENDED_INFO.blocks': _same,
    'legacy-64.P2M_FRAME_LIST': (_same := ''), 'legacy-32.P2M_FRAME_LIST': _same,
    'legacy-64.P2M_FRAME_LIST.frames': 'Q',
    'legacy-64.PAGE_BATCH': (_same := 'I'), 'legacy-32.PAGE_BATCH': _same,
    'legacy-64.PAGE_BATCH.entries': 'Q',
    'legacy-64.END_OF_BODY': (_same := ''), 'legacy-32.END_OF_BODY': _same,
    'legacy-64.ENABLE_VERIFY_MODE': (_same := ''), 'legacy-32.ENABLE_VERIFY_MODE': _same,
    'legacy-64.VCPU_INFO': (_same := 'I'), 'legacy-32.VCPU_INFO': _same,
    'legacy-64.VCPU_INFO.map': (_same := 'Q'), 'legacy-32.VCPU_INFO.map': _same,
    'legacy-64.HVM_IDENT_PT': (_same := 'IQ'), 'legacy-32.HVM_IDENT_PT': _same,
    'legacy-64.HVM_VM86_TSS': (_same := 'IQ'), 'legacy-32.HVM_VM86_TSS': _same,
    'legacy-64.TSC_INFO': (_same := 'IQII'), 'legacy-32.TSC_INFO': _same,
    'legacy-64.HVM_CONSOLE_PFN': (_same := 'IQ'), 'legacy-32.HVM_CONSOLE_PFN': _same,
    'legacy-64.LAST_CHECKPOINT': (_same := ''), 'legacy-32.LAST_CHECKPOINT': _same,
    'legacy-64.HVM_ACPI_IOPORTS_LOCATION': (_same := 'IQ'), 'legacy-32.HVM_ACPI_IOPORTS_LOCATION': _same,
    'legacy-64.HVM_VIRIDIAN': (_same := 'IQ'), 'legacy-32.HVM_VIRIDIAN': _same,
    'legacy-64.ENABLE_COMPRESSION': (_same := ''), 'legacy-32.ENABLE_COMPRESSION': _same,
    'legacy-64.HVM_GENERATION_ID_ADDR': (_same := 'IQ'), 'legacy-32.HVM_GENERATION_ID_ADDR': _same,
    'legacy-64.HVM_PAGING_RING_PFN': (_same := 'IQ'), 'legacy-32.HVM_PAGING_RING_PFN': _same,
    'legacy-64.HVM_ACCESS_RING_PFN': (_same := 'IQ'), 'legacy-32.HVM_ACCESS_RING_PFN': _same,
    'legacy-64.HVM_SHARING_RING_PFN': (_same := 'IQ'), 'legacy-32.HVM_SHARING_RING_PFN': _same,
    'legacy-64.HVM_IOREQ_SERVER_PFN': (_same := 'IQ'), 'legacy-32.HVM_IOREQ_SERVER_PFN': _same,
    'legacy-64.HVM_NR_IOREQ_SERVER_PAGES': (_same := 'IQ'), 'legacy-32.HVM_NR_IOREQ_SERVER_PAGES': _same,
    'legacy-64.COMPRESSED_DATA': 'Q',
    'legacy-64.TOOLSTACK': (_same := 'III'), 'legacy-32.TOOLSTACK': _same,
    'legacy-64.TOOLSTACK.entries': (_same := 'QQQI'), 'legacy-32.TOOLSTACK.entries': _same,
    'legacy-64.TMEM': (_same := 'IIIIIII'), 'legacy-32.TMEM': _same,
    'legacy-64.TMEM_EXTRA': (_same := ''), 'legacy-32.TMEM_EXTRA': _same,
    'legacy-64.TMEM_POOL': (_same := 'III16s'), 'legacy-32.TMEM_POOL': _same,
    'legacy-64.TMEM_END': (_same := 'I'), 'legacy-32.TMEM_END': _same,
    'legacy-64.TMEM_PAGE_0': (_same := '8sI'), 'legacy-32.TMEM_PAGE_0': _same,
    'legacy-64.TMEM_POOL_END_0': (_same := '8s'), 'legacy-32.TMEM_POOL_END_0': _same,
    'legacy-64.TMEM_FLUSHED_0': (_same := 'I8sI'), 'legacy-32.TMEM_FLUSHED_0': _same,
    'legacy-64.TMEM_PAGE_1': (_same := '24sI'), 'legacy-32.TMEM_PAGE_1': _same,
    'legacy-64.TMEM_POOL_END_1': (_same := '24s'), 'legacy-32.TMEM_POOL_END_1': _same,
    'legacy-64.TMEM_FLUSHED_1': (_same := 'I24sI'), 'legacy-32.TMEM_FLUSHED_1': _same,
    'legacy-64.UNMAPPED': (_same := 'I'), 'legacy-32.UNMAPPED': _same,
    'legacy-64.UNMAPPED.pfns': 'Q',
    'legacy-64.VCPU': (_same := ''), 'legacy-32.VCPU': _same,
    'legacy-64.VCPU_EXT': (_same := 'IIQQHHBBHQQQ72s'), 'legacy-32.VCPU_EXT': _same,
    'legacy-64.VCPU_XSAVE': (_same := 'QQ'), 'legacy-32.VCPU_XSAVE': _same,
    'legacy-64.SHARED_INFO': (_same := '4096s'), 'legacy-32.SHARED_INFO': _same,
    'legacy-64.HVM_TAIL': (_same := 'QQQ'), 'legacy-32.HVM_TAIL': _same,
    'legacy-64.HVM_CONTEXT': (_same := 'I'), 'legacy-32.HVM_CONTEXT': _same,
    'legacy-64.HVM_CONTEXT.context': (_same := 'HHI'), 'legacy-32.HVM_CONTEXT.context': _same,
    'legacy-64.QEMU_TO_END': (_same := '21s'), 'legacy-32.QEMU_TO_END': _same,
    'legacy-64.QEMU_STATE': (_same := ''), 'legacy-32.QEMU_STATE': _same,
    'legacy-64.QEMU_0002': (_same := '21sI'), 'legacy-32.QEMU_0002': _same,
    'legacy-64.QEMU_REMUS': (_same := '21sI'), 'legacy-32.QEMU_REMUS': _same,
    'legacy-64.QEMU_XAPI': (_same := '>22sI'), 'legacy-32.QEMU_XAPI': _same,
    'legacy-32.header': 'I',
    'legacy-32.EXTENDED_INFO': '4sI',
    'legacy-32.P2M_FRAME_LIST.frames': 'I',
    'legacy-32.PAGE_BATCH.entries': 'I',
    'legacy-32.COMPRESSED_DATA': 'I',
    'legacy-32.UNMAPPED.pfns': 'I',
    'xl.header': '32sIIII',
    'xl.OPTIONAL_DATA': 'I',
    'xl-migrate.header': '54s',
    'xl-migrate.READY': '34s',
    'xl-migrate.GO': '44s',
    'xl-migrate.REPORT': '39s',
    'xl-migrate.STATUS': 'B',
    'xl-migrate.GIVE_BACK': '44s',
    'libvirt.header': '16sII40s',
    'libvirt.XML': '',
    'xapi.header': '15s',
    'xapi.record_header': 'qq',
    'xapi.XENOPS': '',
    'xapi.LIBXC': '',
    'xapi.LIBXL': '',
    'xapi.LIBXC_LEGACY': '',
    'xapi.QEMU_TRAD': '',
    'xapi.QEMU_XEN': '',
    'xapi.DEMU': '',
    'xapi.VARSTORED': '',
    'xapi.SWTPM0': '',
    'xapi.SWTPM': '',
    'xapi.END_OF_IMAGE': '',
    'xapi-legacy.header': '15s',
    'xend.header': '>16sI',
    'xend.CONFIG': '',
    'qemu.header': '>4sI',
    'qemu.record_header': 'B',
    'qemu.EOF': '',
    'qemu.SECTION_START': '>IB',
    'qemu.SECTION_PART': '>I',
    'qemu.SECTION_END': '>I',
    'qemu.SECTION_FULL': '>IB',
    'qemu.SUBSECTION': 'B',
    'qemu.VMDESCRIPTION': '>I',
    'qemu.CONFIGURATION': '>I',
    'qemu.COMMAND': '>HH',
    'qemu.SECTION_FOOTER': '>I',
    'qemu.RAM_TOTAL': '>Q',
    'qemu.RAM_BLOCK': 'B',
    'qemu.RAM_BLOCK_AT': 'B',
    'qemu.RAM_BLOCK_SIZED': 'B',
    'qemu.RAM_BLOCK_SIZED_AT': 'B',
    'qemu.RAM_BLOCK_MAPPED': 'B',
    'qemu.RAM_BLOCK_MAPPED_AT': 'B',
    'qemu.RAM_MAPPED_PAGES': '',
    'qemu.RAM_ZERO_OF': '>QB',
    'qemu.RAM_ZERO': '',
    'qemu.RAM_ZERO.pages': '>QB',
    'qemu.RAM_PAGE_OF': '>QB',
    'qemu.RAM_PAGE': '',
    'qemu.RAM_PAGE.pages': '>Q4096s',
    'qemu.RAM_XBZRLE_OF': '>QB',
    'qemu.RAM_XBZRLE': '',
    'qemu.RAM_XBZRLE.pages': '>QBH',
    'qemu.RAM_COMPRESSED_OF': '>QB',
    'qemu.RAM_COMPRESSED': '',
    'qemu.RAM_COMPRESSED.pages': '>QI',
    'qemu.RAM_FLUSH': '>Q',
    'qemu.RAM_HOOK': '>Q',
    'qemu.RAM_EOS': '>Q',
    'qemu.RAM_WORD': '>Q',
    'qemu.SECTION_DATA': '',
    'qemu-multifd.header': '>II16sB39s',
    'qemu-multifd.PAGES': '>IIIIIIQI28s256s',
    'qemu-multifd.PAGES.offsets': '>Q',
    'qemu-multifd.DEVICE_STATE': '>III256sII',
    'text.TEXT': '',
    'http.HEAD': '',
    'http.REPLY': '>H',
    'libxc.pte': 'Q',
    'libxl.XENSTORE_DATA_32': 'II',
    'libxl.XENSTORE_DATA_32.entries': 'QQQI',
    'libxl.XENSTORE_DATA_64': 'II',
    'libxl.XENSTORE_DATA_64.entries': 'QQQI',
}
SIZES: dict[str, int] = {
    'libxl.header': 16,
    'libxl.record_header': 8,
    'libxl.END': 0,
    'libxl.LIBXC_CONTEXT': 0,
    'libxl.EMULATOR_XENSTORE_DATA': 8,
    'libxl.EMULATOR_XENSTORE_DATA.pairs': 0,
    'libxl.EMULATOR_CONTEXT': 8,
    'libxl.CHECKPOINT_END': 0,
    'libxl.CHECKPOINT_STATE': 4,
    'libxc.image_header': 24,
    'libxc.domain_header': 16,
    'libxc.record_header': 8,
    'libxc.END': 0,
    'libxc.PAGE_DATA': 8,
    'libxc.PAGE_DATA.entries': 8,
    'libxc.X86_PV_INFO': 8,
    'libxc.X86_PV_P2M_FRAMES': 8,
    'libxc.X86_PV_P2M_FRAMES.frames': 8,
    'libxc.X86_PV_VCPU_BASIC': 8,
    'libxc.X86_PV_VCPU_EXTENDED': 8,
    'libxc.X86_PV_VCPU_XSAVE': 8,
    'libxc.SHARED_INFO': 4096,
    'libxc.X86_TSC_INFO': 24,
    'libxc.HVM_CONTEXT': 0,
    'libxc.HVM_CONTEXT.context': 8,
    'libxc.HVM_PARAMS': 8,
    'libxc.HVM_PARAMS.params': 16,
    'libxc.TOOLSTACK': 0,
    'libxc.X86_PV_VCPU_MSRS': 8,
    'libxc.X86_PV_VCPU_MSRS.msrs': 16,
    'libxc.VERIFY': 0,
    'libxc.CHECKPOINT': 0,
    'libxc.CHECKPOINT_DIRTY_PFN_LIST': 0,
    'libxc.CHECKPOINT_DIRTY_PFN_LIST.pfns': 8,
    'libxc.STATIC_DATA_END': 0,
    'libxc.X86_CPUID_POLICY': 0,
    'libxc.X86_CPUID_POLICY.leaves': 24,
    'libxc.X86_MSR_POLICY': 0,
    'libxc.X86_MSR_POLICY.msrs': 16,
    'legacy-64.header': 8,
    'legacy-64.record_header': (_same := 4), 'legacy-32.record_header': _same,
    'legacy-64.EXTENDED_INFO': 12,
    'legacy-64.EXTENDED_INFO.blocks': (_same := 8), 'legacy-32.EXTENDED_INFO.blocks': _same,
    'legacy-64.P2M_FRAME_LIST': (_same := 0), 'legacy-32.P2M_FRAME_LIST': _same,
    'legacy-64.P2M_FRAME_LIST.frames': 8,
    'legacy-64.PAGE_BATCH': (_same := 4), 'legacy-32.PAGE_BATCH': _same,
    'legacy-64.PAGE_BATCH.entries': 8,
    'legacy-64.END_OF_BODY': (_same := 0), 'legacy-32.END_OF_BODY': _same,
    'legacy-64.ENABLE_VERIFY_MODE': (_same := 0), 'legacy-32.ENABLE_VERIFY_MODE': _same,
    'legacy-64.VCPU_INFO': (_same := 4), 'legacy-32.VCPU_INFO': _same,
    'legacy-64.VCPU_INFO.map': (_same := 8), 'legacy-32.VCPU_INFO.map': _same,
    'legacy-64.HVM_IDENT_PT': (_same := 12), 'legacy-32.HVM_IDENT_PT': _same,
    'legacy-64.HVM_VM86_TSS': (_same := 12), 'legacy-32.HVM_VM86_TSS': _same,
    'legacy-64.TSC_INFO': (_same := 20), 'legacy-32.TSC_INFO': _same,
    'legacy-64.HVM_CONSOLE_PFN': (_same := 12), 'legacy-32.HVM_CONSOLE_PFN': _same,
    'legacy-64.LAST_CHECKPOINT': (_same := 0), 'legacy-32.LAST_CHECKPOINT': _same,
    'legacy-64.HVM_ACPI_IOPORTS_LOCATION': (_same := 12), 'legacy-32.HVM_ACPI_IOPORTS_LOCATION': _same,
    'legacy-64.HVM_VIRIDIAN': (_same := 12), 'legacy-32.HVM_VIRIDIAN': _same,
    'legacy-64.ENABLE_COMPRESSION': (_same := 0), 'legacy-32.ENABLE_COMPRESSION': _same,
    'legacy-64.HVM_GENERATION_ID_ADDR': (_same := 12), 'legacy-32.HVM_GENERATION_ID_ADDR': _same,
    'legacy-64.HVM_PAGING_RING_PFN': (_same := 12), 'legacy-32.HVM_PAGING_RING_PFN': _same,
    'legacy-64.HVM_ACCESS_RING_PFN': (_same := 12), 'legacy-32.HVM_ACCESS_RING_PFN': _same,
    'legacy-64.HVM_SHARING_RING_PFN': (_same := 12), 'legacy-32.HVM_SHARING_RING_PFN': _same,
    'legacy-64.HVM_IOREQ_SERVER_PFN': (_same := 12), 'legacy-32.HVM_IOREQ_SERVER_PFN': _same,
    'legacy-64.HVM_NR_IOREQ_SERVER_PAGES': (_same := 12), 'legacy-32.HVM_NR_IOREQ_SERVER_PAGES': _same,
    'legacy-64.COMPRESSED_DATA': 8,
    'legacy-64.TOOLSTACK': (_same := 12), 'legacy-32.TOOLSTACK': _same,
    'legacy-64.TOOLSTACK.entries': (_same := 28), 'legacy-32.TOOLSTACK.entries': _same,
    'legacy-64.TMEM': (_same := 28), 'legacy-32.TMEM': _same,
    'legacy-64.TMEM_EXTRA': (_same := 0), 'legacy-32.TMEM_EXTRA': _same,
    'legacy-64.TMEM_POOL': (_same := 28), 'legacy-32.TMEM_POOL': _same,
    'legacy-64.TMEM_END': (_same := 4), 'legacy-32.TMEM_END': _same,
    'legacy-64.TMEM_PAGE_0': (_same := 12), 'legacy-32.TMEM_PAGE_0': _same,
    'legacy-64.TMEM_POOL_END_0': (_same := 8), 'legacy-32.TMEM_POOL_END_0': _same,
    'legacy-64.TMEM_FLUSHED_0': (_same := 16), 'legacy-32.TMEM_FLUSHED_0': _same,
    'legacy-64.TMEM_PAGE_1': (_same := 28), 'legacy-32.TMEM_PAGE_1': _same,
    'legacy-64.TMEM_POOL_END_1': (_same := 24), 'legacy-32.TMEM_POOL_END_1': _same,
    'legacy-64.TMEM_FLUSHED_1': (_same := 32), 'legacy-32.TMEM_FLUSHED_1': _same,
    'legacy-64.UNMAPPED': (_same := 4), 'legacy-32.UNMAPPED': _same,
    'legacy-64.UNMAPPED.pfns': 8,
    'legacy-64.VCPU': (_same := 0), 'legacy-32.VCPU': _same,
    'legacy-64.VCPU_EXT': (_same := 128), 'legacy-32.VCPU_EXT': _same,
    'legacy-64.VCPU_XSAVE': (_same := 16), 'legacy-32.VCPU_XSAVE': _same,
    'legacy-64.SHARED_INFO': (_same := 4096), 'legacy-32.SHARED_INFO': _same,
    'legacy-64.HVM_TAIL': (_same := 24), 'legacy-32.HVM_TAIL': _same,
    'legacy-64.HVM_CONTEXT': (_same := 4), 'legacy-32.HVM_CONTEXT': _same,
    'legacy-64.HVM_CONTEXT.context': (_same := 8), 'legacy-32.HVM_CONTEXT.context': _same,
    'legacy-64.QEMU_TO_END': (_same := 21), 'legacy-32.QEMU_TO_END': _same,
    'legacy-64.QEMU_STATE': (_same := 0), 'legacy-32.QEMU_STATE': _same,
    'legacy-64.QEMU_0002': (_same := 25), 'legacy-32.QEMU_0002': _same,
    'legacy-64.QEMU_REMUS': (_same := 25), 'legacy-32.QEMU_REMUS': _same,
    'legacy-64.QEMU_XAPI': (_same := 26), 'legacy-32.QEMU_XAPI': _same,
    'legacy-32.header': 4,
    'legacy-32.EXTENDED_INFO': 8,
    'legacy-32.P2M_FRAME_LIST.frames': 4,
    'legacy-32.PAGE_BATCH.entries': 4,
    'legacy-32.COMPRESSED_DATA': 4,
    'legacy-32.UNMAPPED.pfns': 4,
    'xl.header': 48,
    'xl.OPTIONAL_DATA': 4,
    'xl-migrate.header': 54,
    'xl-migrate.READY': 34,
    'xl-migrate.GO': 44,
    'xl-migrate.REPORT': 39,
    'xl-migrate.STATUS': 1,
    'xl-migrate.GIVE_BACK': 44,
    'libvirt.header': 64,
    'libvirt.XML': 0,
    'xapi.header': 15,
    'xapi.record_header': 16,
    'xapi.XENOPS': 0,
    'xapi.LIBXC': 0,
    'xapi.LIBXL': 0,
    'xapi.LIBXC_LEGACY': 0,
    'xapi.QEMU_TRAD': 0,
    'xapi.QEMU_XEN': 0,
    'xapi.DEMU': 0,
    'xapi.VARSTORED': 0,
    'xapi.SWTPM0': 0,
    'xapi.SWTPM': 0,
    'xapi.END_OF_IMAGE': 0,
    'xapi-legacy.header': 15,
    'xend.header': 20,
    'xend.CONFIG': 0,
    'qemu.header': 8,
    'qemu.record_header': 1,
    'qemu.EOF': 0,
    'qemu.SECTION_START': 5,
    'qemu.SECTION_PART': 4,
    'qemu.SECTION_END': 4,
    'qemu.SECTION_FULL': 5,
    'qemu.SUBSECTION': 1,
    'qemu.VMDESCRIPTION': 4,
    'qemu.CONFIGURATION': 4,
    'qemu.COMMAND': 4,
    'qemu.SECTION_FOOTER': 4,
    'qemu.RAM_TOTAL': 8,
    'qemu.RAM_BLOCK': 1,
    'qemu.RAM_BLOCK_AT': 1,
    'qemu.RAM_BLOCK_SIZED': 1,
    'qemu.RAM_BLOCK_SIZED_AT': 1,
    'qemu.RAM_BLOCK_MAPPED': 1,
    'qemu.RAM_BLOCK_MAPPED_AT': 1,
    'qemu.RAM_MAPPED_PAGES': 0,
    'qemu.RAM_ZERO_OF': 9,
    'qemu.RAM_ZERO': 0,
    'qemu.RAM_ZERO.pages': 9,
    'qemu.RAM_PAGE_OF': 9,
    'qemu.RAM_PAGE': 0,
    'qemu.RAM_PAGE.pages': 4104,
    'qemu.RAM_XBZRLE_OF': 9,
    'qemu.RAM_XBZRLE': 0,
    'qemu.RAM_XBZRLE.pages': 11,
    'qemu.RAM_COMPRESSED_OF': 9,
    'qemu.RAM_COMPRESSED': 0,
    'qemu.RAM_COMPRESSED.pages': 12,
    'qemu.RAM_FLUSH': 8,
    'qemu.RAM_HOOK': 8,
    'qemu.RAM_EOS': 8,
    'qemu.RAM_WORD': 8,
    'qemu.SECTION_DATA': 0,
    'qemu-multifd.header': 64,
    'qemu-multifd.PAGES': 320,
    'qemu-multifd.PAGES.offsets': 8,
    'qemu-multifd.DEVICE_STATE': 276,
    'text.TEXT': 0,
    'http.HEAD': 0,
    'http.REPLY': 2,
    'libxc.pte': 8,
    'libxl.XENSTORE_DATA_32': 8,
    'libxl.XENSTORE_DATA_32.entries': 28,
    'libxl.XENSTORE_DATA_64': 8,
    'libxl.XENSTORE_DATA_64.entries': 28,
}
UNITS = {
    'libxl.EMULATOR_XENSTORE_DATA': (0,),
    'libxl.EMULATOR_XENSTORE_DATA.pairs': (0, 0),
    'libxl.EMULATOR_CONTEXT': (1,),
    'libxc.PAGE_DATA': (8, 4096),
    'libxc.X86_PV_P2M_FRAMES': (8,),
    'libxc.X86_PV_VCPU_BASIC': (1,),
    'libxc.X86_PV_VCPU_EXTENDED': (1,),
    'libxc.X86_PV_VCPU_XSAVE': (1,),
    'libxc.HVM_CONTEXT': (0,),
    'libxc.HVM_CONTEXT.context': (1,),
    'libxc.HVM_PARAMS': (16,),
    'libxc.TOOLSTACK': (1,),
    'libxc.X86_PV_VCPU_MSRS': (16,),
    'libxc.CHECKPOINT_DIRTY_PFN_LIST': (8,),
    'libxc.X86_CPUID_POLICY': (24,),
    'libxc.X86_MSR_POLICY': (16,),
    'legacy-64.EXTENDED_INFO': (_same := (0,)), 'legacy-32.EXTENDED_INFO': _same,
    'legacy-64.EXTENDED_INFO.blocks': (_same := (1,)), 'legacy-32.EXTENDED_INFO.blocks': _same,
    'legacy-64.P2M_FRAME_LIST': (8,),
    'legacy-64.PAGE_BATCH': (8, 4096),
    'legacy-64.VCPU_INFO': (_same := (8,)), 'legacy-32.VCPU_INFO': _same,
    'legacy-64.COMPRESSED_DATA': (_same := (1,)), 'legacy-32.COMPRESSED_DATA': _same,
    'legacy-64.TOOLSTACK': (_same := (0, 1)), 'legacy-32.TOOLSTACK': _same,
    'legacy-64.TOOLSTACK.entries': (_same := (1,)), 'legacy-32.TOOLSTACK.entries': _same,
    'legacy-64.TMEM_PAGE_0': (_same := (1,)), 'legacy-32.TMEM_PAGE_0': _same,
    'legacy-64.TMEM_PAGE_1': (_same := (1,)), 'legacy-32.TMEM_PAGE_1': _same,
    'legacy-64.UNMAPPED': (8,),
    'legacy-64.VCPU': (_same := (1,)), 'legacy-32.VCPU': _same,
    'legacy-64.VCPU_XSAVE': (_same := (1,)), 'legacy-32.VCPU_XSAVE': _same,
    'legacy-64.HVM_CONTEXT': (_same := (0,)), 'legacy-32.HVM_CONTEXT': _same,
    'legacy-64.HVM_CONTEXT.context': (_same := (1,)), 'legacy-32.HVM_CONTEXT.context': _same,
    'legacy-64.QEMU_STATE': (_same := (1,)), 'legacy-32.QEMU_STATE': _same,
    'legacy-64.QEMU_0002': (_same := (1,)), 'legacy-32.QEMU_0002': _same,
    'legacy-64.QEMU_REMUS': (_same := (1,)), 'legacy-32.QEMU_REMUS': _same,
    'legacy-64.QEMU_XAPI': (_same := (1,)), 'legacy-32.QEMU_XAPI': _same,
    'legacy-32.P2M_FRAME_LIST': (4,),
    'legacy-32.PAGE_BATCH': (4, 4096),
    'legacy-32.UNMAPPED': (4,),
    'xl.OPTIONAL_DATA': (1, 1),
    'libvirt.XML': (1,),
    'xapi.XENOPS': (1,),
    'xapi.QEMU_TRAD': (1,),
    'xapi.QEMU_XEN': (1,),
    'xapi.VARSTORED': (1,),
    'xapi.SWTPM0': (1,),
    'xapi.SWTPM': (1,),
    'xend.CONFIG': (1,),
    'qemu.SECTION_START': (1, 1),
    'qemu.SECTION_PART': (1,),
    'qemu.SECTION_END': (1,),
    'qemu.SECTION_FULL': (1, 1),
    'qemu.SUBSECTION': (1, 1),
    'qemu.VMDESCRIPTION': (1,),
    'qemu.CONFIGURATION': (1,),
    'qemu.COMMAND': (1,),
    'qemu.RAM_BLOCK': (1,),
    'qemu.RAM_BLOCK_AT': (1,),
    'qemu.RAM_BLOCK_SIZED': (1,),
    'qemu.RAM_BLOCK_SIZED_AT': (1,),
    'qemu.RAM_BLOCK_MAPPED': (1, 1),
    'qemu.RAM_BLOCK_MAPPED_AT': (1, 1),
    'qemu.RAM_MAPPED_PAGES': (1,),
    'qemu.RAM_ZERO_OF': (1,),
    'qemu.RAM_ZERO': (9,),
    'qemu.RAM_PAGE_OF': (1,),
    'qemu.RAM_PAGE': (4104,),
    'qemu.RAM_XBZRLE_OF': (1, 1),
    'qemu.RAM_XBZRLE': (0,),
    'qemu.RAM_XBZRLE.pages': (1,),
    'qemu.RAM_COMPRESSED_OF': (1, 1),
    'qemu.RAM_COMPRESSED': (0,),
    'qemu.RAM_COMPRESSED.pages': (1,),
    'qemu.SECTION_DATA': (1,),
    'qemu-multifd.PAGES': (8, 1),
    'qemu-multifd.DEVICE_STATE': (1,),
    'text.TEXT': (1,),
    'http.HEAD': (1,),
    'libxl.XENSTORE_DATA_32': (0,),
    'libxl.XENSTORE_DATA_32.entries': (1,),
    'libxl.XENSTORE_DATA_64': (0,),
    'libxl.XENSTORE_DATA_64.entries': (1,),
}
LEAST: dict[str, int] = {
    'libxl.EMULATOR_XENSTORE_DATA': 8,
    'libxl.EMULATOR_XENSTORE_DATA.pairs': 2,
    'libxl.EMULATOR_CONTEXT': 8,
    'libxc.PAGE_DATA': 8,
    'libxc.X86_PV_P2M_FRAMES': 8,
    'libxc.X86_PV_VCPU_BASIC': 8,
    'libxc.X86_PV_VCPU_EXTENDED': 8,
    'libxc.X86_PV_VCPU_XSAVE': 8,
    'libxc.HVM_CONTEXT': 0,
    'libxc.HVM_CONTEXT.context': 8,
    'libxc.HVM_PARAMS': 8,
    'libxc.TOOLSTACK': 0,
    'libxc.X86_PV_VCPU_MSRS': 8,
    'libxc.CHECKPOINT_DIRTY_PFN_LIST': 0,
    'libxc.X86_CPUID_POLICY': 0,
    'libxc.X86_MSR_POLICY': 0,
    'legacy-64.EXTENDED_INFO': 12,
    'legacy-64.EXTENDED_INFO.blocks': (_same := 8), 'legacy-32.EXTENDED_INFO.blocks': _same,
    'legacy-64.P2M_FRAME_LIST': (_same := 0), 'legacy-32.P2M_FRAME_LIST': _same,
    'legacy-64.PAGE_BATCH': (_same := 4), 'legacy-32.PAGE_BATCH': _same,
    'legacy-64.VCPU_INFO': (_same := 4), 'legacy-32.VCPU_INFO': _same,
    'legacy-64.COMPRESSED_DATA': 8,
    'legacy-64.TOOLSTACK': (_same := 12), 'legacy-32.TOOLSTACK': _same,
    'legacy-64.TOOLSTACK.entries': 32,
    'legacy-64.TMEM_PAGE_0': (_same := 12), 'legacy-32.TMEM_PAGE_0': _same,
    'legacy-64.TMEM_PAGE_1': (_same := 28), 'legacy-32.TMEM_PAGE_1': _same,
    'legacy-64.UNMAPPED': (_same := 4), 'legacy-32.UNMAPPED': _same,
    'legacy-64.VCPU': (_same := 0), 'legacy-32.VCPU': _same,
    'legacy-64.VCPU_XSAVE': (_same := 16), 'legacy-32.VCPU_XSAVE': _same,
    'legacy-64.HVM_CONTEXT': (_same := 4), 'legacy-32.HVM_CONTEXT': _same,
    'legacy-64.HVM_CONTEXT.context': (_same := 8), 'legacy-32.HVM_CONTEXT.context': _same,
    'legacy-64.QEMU_STATE': (_same := 0), 'legacy-32.QEMU_STATE': _same,
    'legacy-64.QEMU_0002': (_same := 25), 'legacy-32.QEMU_0002': _same,
    'legacy-64.QEMU_REMUS': (_same := 25), 'legacy-32.QEMU_REMUS': _same,
    'legacy-64.QEMU_XAPI': (_same := 26), 'legacy-32.QEMU_XAPI': _same,
    'legacy-32.EXTENDED_INFO': 8,
    'legacy-32.COMPRESSED_DATA': 4,
    'legacy-32.TOOLSTACK.entries': 28,
    'xl.OPTIONAL_DATA': 4,
    'libvirt.XML': 0,
    'xapi.XENOPS': 0,
    'xapi.QEMU_TRAD': 0,
    'xapi.QEMU_XEN': 0,
    'xapi.VARSTORED': 0,
    'xapi.SWTPM0': 0,
    'xapi.SWTPM': 0,
    'xend.CONFIG': 0,
    'qemu.SECTION_START': 13,
    'qemu.SECTION_PART': 4,
    'qemu.SECTION_END': 4,
    'qemu.SECTION_FULL': 13,
    'qemu.SUBSECTION': 5,
    'qemu.VMDESCRIPTION': 4,
    'qemu.CONFIGURATION': 4,
    'qemu.COMMAND': 4,
    'qemu.RAM_BLOCK': 9,
    'qemu.RAM_BLOCK_AT': 17,
    'qemu.RAM_BLOCK_SIZED': 17,
    'qemu.RAM_BLOCK_SIZED_AT': 25,
    'qemu.RAM_BLOCK_MAPPED': 37,
    'qemu.RAM_BLOCK_MAPPED_AT': 45,
    'qemu.RAM_MAPPED_PAGES': 0,
    'qemu.RAM_ZERO_OF': 10,
    'qemu.RAM_ZERO': 0,
    'qemu.RAM_PAGE_OF': 4105,
    'qemu.RAM_PAGE': 0,
    'qemu.RAM_XBZRLE_OF': 12,
    'qemu.RAM_XBZRLE': 0,
    'qemu.RAM_XBZRLE.pages': 11,
    'qemu.RAM_COMPRESSED_OF': 13,
    'qemu.RAM_COMPRESSED': 0,
    'qemu.RAM_COMPRESSED.pages': 12,
    'qemu.SECTION_DATA': 0,
    'qemu-multifd.PAGES': 1344,
    'qemu-multifd.DEVICE_STATE': 276,
    'text.TEXT': 0,
    'http.HEAD': 0,
    'libxl.XENSTORE_DATA_32': 8,
    'libxl.XENSTORE_DATA_32.entries': 28,
    'libxl.XENSTORE_DATA_64': 8,
    'libxl.XENSTORE_DATA_64.entries': 32,
}
PLACES: dict[str, dict[str, tuple[int, int]]] = {
    'libxl.header': {'ident': (0, 8), 'version': (8, 4), 'options.reserved': (12, 4), 'options.legacy': (12, 4), 'options.endian': (12, 4)},
    'libxl.record_header': {'type': (0, 4), 'length': (4, 4)},
    'libxl.EMULATOR_XENSTORE_DATA': {'emulator_id': (0, 4), 'index': (4, 4)},
    'libxl.EMULATOR_CONTEXT': {'emulator_id': (0, 4), 'index': (4, 4)},
    'libxl.CHECKPOINT_STATE': {'control_id': (0, 4)},
    'libxc.image_header': {'marker': (0, 8), 'id': (8, 4), 'version': (12, 4), 'options.reserved': (16, 2), 'options.endian': (16, 2), 'reserved_1': (18, 2), 'reserved_2': (20, 4)},
    'libxc.domain_header': {'type': (0, 4), 'page_shift': (4, 2), 'reserved': (6, 2), 'xen_major': (8, 4), 'xen_minor': (12, 4)},
    'libxc.record_header': {'type': (0, 4), 'length': (4, 4)},
    'libxc.PAGE_DATA': {'count': (0, 4), 'reserved': (4, 4)},
    'libxc.PAGE_DATA.entries': {'type': (0, 8), 'reserved': (0, 8), 'pfn': (0, 8)},
    'libxc.X86_PV_INFO': {'guest_width': (0, 1), 'pt_levels': (1, 1), 'reserved': (2, 6)},
    'libxc.X86_PV_P2M_FRAMES': {'start_pfn': (0, 4), 'end_pfn': (4, 4)},
    'libxc.X86_PV_P2M_FRAMES.frames': {'': (0, 8)},
    'libxc.X86_PV_VCPU_BASIC': {'vcpu_id': (0, 4), 'reserved': (4, 4)},
    'libxc.X86_PV_VCPU_EXTENDED': {'vcpu_id': (0, 4), 'reserved': (4, 4)},
    'libxc.X86_PV_VCPU_XSAVE': {'vcpu_id': (0, 4), 'reserved': (4, 4)},
    'libxc.SHARED_INFO': {'page': (0, 4096)},
    'libxc.X86_TSC_INFO': {'mode': (0, 4), 'khz': (4, 4), 'nsec': (8, 8), 'incarnation': (16, 4), 'reserved': (20, 4)},
    'libxc.HVM_CONTEXT.context': {'typecode': (0, 2), 'instance': (2, 2), 'length': (4, 4)},
    'libxc.HVM_PARAMS': {'count': (0, 4), 'reserved': (4, 4)},
    'libxc.HVM_PARAMS.params': {'index': (0, 8), 'value': (8, 8)},
    'libxc.X86_PV_VCPU_MSRS': {'vcpu_id': (0, 4), 'reserved': (4, 4)},
    'libxc.X86_PV_VCPU_MSRS.msrs': {'index': (0, 4), 'reserved': (4, 4), 'value': (8, 8)},
    'libxc.CHECKPOINT_DIRTY_PFN_LIST.pfns': {'': (0, 8)},
    'libxc.X86_CPUID_POLICY.leaves': {'leaf': (0, 4), 'subleaf': (4, 4), 'eax': (8, 4), 'ebx': (12, 4), 'ecx': (16, 4), 'edx': (20, 4)},
    'libxc.X86_MSR_POLICY.msrs': {'index': (0, 4), 'flags': (4, 4), 'value': (8, 8)},
    'legacy-64.header': {'p2m_size': (0, 8)},
    'legacy-64.record_header': (_same := {'type': (0, 4)}), 'legacy-32.record_header': _same,
    'legacy-64.EXTENDED_INFO': {'signature': (0, 8), 'total': (8, 4)},
    'legacy-64.EXTENDED_INFO.blocks': (_same := {'id': (0, 4), 'size': (4, 4)}), 'legacy-32.EXTENDED_INFO.blocks': _same,
    'legacy-64.P2M_FRAME_LIST.frames': {'': (0, 8)},
    'legacy-64.PAGE_BATCH': (_same := {'count': (0, 4)}), 'legacy-32.PAGE_BATCH': _same,
    'legacy-64.PAGE_BATCH.entries': {'reserved': (0, 8), 'type': (0, 8), 'pfn': (0, 8)},
    'legacy-64.VCPU_INFO': (_same := {'max_vcpu_id': (0, 4)}), 'legacy-32.VCPU_INFO': _same,
    'legacy-64.VCPU_INFO.map': (_same := {'': (0, 8)}), 'legacy-32.VCPU_INFO.map': _same,
    'legacy-64.HVM_IDENT_PT': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_IDENT_PT': _same,
    'legacy-64.HVM_VM86_TSS': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_VM86_TSS': _same,
    'legacy-64.TSC_INFO': (_same := {'mode': (0, 4), 'nsec': (4, 8), 'khz': (12, 4), 'incarnation': (16, 4)}), 'legacy-32.TSC_INFO': _same,
    'legacy-64.HVM_CONSOLE_PFN': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_CONSOLE_PFN': _same,
    'legacy-64.HVM_ACPI_IOPORTS_LOCATION': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_ACPI_IOPORTS_LOCATION': _same,
    'legacy-64.HVM_VIRIDIAN': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_VIRIDIAN': _same,
    'legacy-64.HVM_GENERATION_ID_ADDR': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_GENERATION_ID_ADDR': _same,
    'legacy-64.HVM_PAGING_RING_PFN': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_PAGING_RING_PFN': _same,
    'legacy-64.HVM_ACCESS_RING_PFN': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_ACCESS_RING_PFN': _same,
    'legacy-64.HVM_SHARING_RING_PFN': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_SHARING_RING_PFN': _same,
    'legacy-64.HVM_IOREQ_SERVER_PFN': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_IOREQ_SERVER_PFN': _same,
    'legacy-64.HVM_NR_IOREQ_SERVER_PAGES': (_same := {'reserved': (0, 4), 'value': (4, 8)}), 'legacy-32.HVM_NR_IOREQ_SERVER_PAGES': _same,
    'legacy-64.COMPRESSED_DATA': {'length': (0, 8)},
    'legacy-64.TOOLSTACK': (_same := {'length': (0, 4), 'version': (4, 4), 'count': (8, 4)}), 'legacy-32.TOOLSTACK': _same,
    'legacy-64.TOOLSTACK.entries': (_same := {'phys_offset': (0, 8), 'start_addr': (8, 8), 'size': (16, 8), 'namelen': (24, 4)}), 'legacy-32.TOOLSTACK.entries': _same,
    'legacy-64.TMEM': (_same := {'version': (0, 4), 'max_pools': (4, 4), 'marker_1': (8, 4), 'flags': (12, 4), 'weight': (16, 4), 'cap': (20, 4), 'marker_2': (24, 4)}), 'legacy-32.TMEM': _same,
    'legacy-64.TMEM_POOL': (_same := {'pool_id': (0, 4), 'flags': (4, 4), 'pages': (8, 4), 'uuid': (12, 16)}), 'legacy-32.TMEM_POOL': _same,
    'legacy-64.TMEM_END': (_same := {'marker': (0, 4)}), 'legacy-32.TMEM_END': _same,
    'legacy-64.TMEM_PAGE_0': (_same := {'oid': (0, 8), 'index': (8, 4)}), 'legacy-32.TMEM_PAGE_0': _same,
    'legacy-64.TMEM_POOL_END_0': (_same := {'oid': (0, 8)}), 'legacy-32.TMEM_POOL_END_0': _same,
    'legacy-64.TMEM_FLUSHED_0': (_same := {'pool_id': (0, 4), 'oid': (4, 8), 'index': (12, 4)}), 'legacy-32.TMEM_FLUSHED_0': _same,
    'legacy-64.TMEM_PAGE_1': (_same := {'oid': (0, 24), 'index': (24, 4)}), 'legacy-32.TMEM_PAGE_1': _same,
    'legacy-64.TMEM_POOL_END_1': (_same := {'oid': (0, 24)}), 'legacy-32.TMEM_POOL_END_1': _same,
    'legacy-64.TMEM_FLUSHED_1': (_same := {'pool_id': (0, 4), 'oid': (4, 24), 'index': (28, 4)}), 'legacy-32.TMEM_FLUSHED_1': _same,
    'legacy-64.UNMAPPED': (_same := {'count': (0, 4)}), 'legacy-32.UNMAPPED': _same,
    'legacy-64.UNMAPPED.pfns': {'': (0, 8)},
    'legacy-64.VCPU_EXT': (_same := {'vcpu': (0, 4), 'size': (4, 4), 'syscall32_callback_eip': (8, 8), 'sysenter_callback_eip': (16, 8), 'syscall32_callback_cs': (24, 2), 'sysenter_callback_cs': (26, 2), 'syscall32_disables_events': (28, 1), 'sysenter_disables_events': (29, 1), 'padding': (30, 2), 'mcg_cap': (32, 8), 'mci_ctl2_bank0': (40, 8), 'mci_ctl2_bank1': (48, 8), 'rest': (56, 72)}), 'legacy-32.VCPU_EXT': _same,
    'legacy-64.VCPU_XSAVE': (_same := {'mask': (0, 8), 'size': (8, 8)}), 'legacy-32.VCPU_XSAVE': _same,
    'legacy-64.SHARED_INFO': (_same := {'page': (0, 4096)}), 'legacy-32.SHARED_INFO': _same,
    'legacy-64.HVM_TAIL': (_same := {'ioreq_pfn': (0, 8), 'bufioreq_pfn': (8, 8), 'store_pfn': (16, 8)}), 'legacy-32.HVM_TAIL': _same,
    'legacy-64.HVM_CONTEXT': (_same := {'length': (0, 4)}), 'legacy-32.HVM_CONTEXT': _same,
    'legacy-64.HVM_CONTEXT.context': (_same := {'typecode': (0, 2), 'instance': (2, 2), 'length': (4, 4)}), 'legacy-32.HVM_CONTEXT.context': _same,
    'legacy-64.QEMU_TO_END': (_same := {'signature': (0, 21)}), 'legacy-32.QEMU_TO_END': _same,
    'legacy-64.QEMU_0002': (_same := {'signature': (0, 21), 'length': (21, 4)}), 'legacy-32.QEMU_0002': _same,
    'legacy-64.QEMU_REMUS': (_same := {'signature': (0, 21), 'length': (21, 4)}), 'legacy-32.QEMU_REMUS': _same,
    'legacy-64.QEMU_XAPI': (_same := {'signature': (0, 22), 'length': (22, 4)}), 'legacy-32.QEMU_XAPI': _same,
    'legacy-32.header': {'p2m_size': (0, 4)},
    'legacy-32.EXTENDED_INFO': {'signature': (0, 4), 'total': (4, 4)},
    'legacy-32.P2M_FRAME_LIST.frames': {'': (0, 4)},
    'legacy-32.PAGE_BATCH.entries': {'type': (0, 4), 'pfn': (0, 4)},
    'legacy-32.COMPRESSED_DATA': {'length': (0, 4)},
    'legacy-32.UNMAPPED.pfns': {'': (0, 4)},
    'xl.header': {'magic': (0, 32), 'byteorder': (32, 4), 'mandatory_flags.reserved': (36, 4), 'mandatory_flags.stream_v2': (36, 4), 'mandatory_flags.json': (36, 4), 'optional_flags': (40, 4), 'optional_data_len': (44, 4)},
    'xl.OPTIONAL_DATA': {'config_len': (0, 4)},
    'xl-migrate.header': {'greeting': (0, 54)},
    'xl-migrate.READY': {'message': (0, 34)},
    'xl-migrate.GO': {'message': (0, 44)},
    'xl-migrate.REPORT': {'message': (0, 39)},
    'xl-migrate.STATUS': {'status': (0, 1)},
    'xl-migrate.GIVE_BACK': {'message': (0, 44)},
    'libvirt.header': {'magic': (0, 16), 'version': (16, 4), 'xml_len': (20, 4), 'reserved': (24, 40)},
    'xapi.header': {'signature': (0, 15)},
    'xapi.record_header': {'type': (0, 8), 'length': (8, 8)},
    'xapi-legacy.header': {'signature': (0, 15)},
    'xend.header': {'magic': (0, 16), 'config_len': (16, 4)},
    'qemu.header': {'magic': (0, 4), 'version': (4, 4)},
    'qemu.record_header': {'type': (0, 1)},
    'qemu.SECTION_START': {'section_id': (0, 4), 'idstr_length': (4, 1)},
    'qemu.SECTION_PART': {'section_id': (0, 4)},
    'qemu.SECTION_END': {'section_id': (0, 4)},
    'qemu.SECTION_FULL': {'section_id': (0, 4), 'idstr_length': (4, 1)},
    'qemu.SUBSECTION': {'name_length': (0, 1)},
    'qemu.VMDESCRIPTION': {'length': (0, 4)},
    'qemu.CONFIGURATION': {'length': (0, 4)},
    'qemu.COMMAND': {'command': (0, 2), 'length': (2, 2)},
    'qemu.SECTION_FOOTER': {'section_id': (0, 4)},
    'qemu.RAM_TOTAL': {'word.page': (0, 8), 'word.flags': (0, 8)},
    'qemu.RAM_BLOCK': {'name_length': (0, 1)},
    'qemu.RAM_BLOCK_AT': {'name_length': (0, 1)},
    'qemu.RAM_BLOCK_SIZED': {'name_length': (0, 1)},
    'qemu.RAM_BLOCK_SIZED_AT': {'name_length': (0, 1)},
    'qemu.RAM_BLOCK_MAPPED': {'name_length': (0, 1)},
    'qemu.RAM_BLOCK_MAPPED_AT': {'name_length': (0, 1)},
    'qemu.RAM_ZERO_OF': {'word.page': (0, 8), 'word.flags': (0, 8), 'name_length': (8, 1)},
    'qemu.RAM_ZERO.pages': {'word.page': (0, 8), 'word.flags': (0, 8), 'fill': (8, 1)},
    'qemu.RAM_PAGE_OF': {'word.page': (0, 8), 'word.flags': (0, 8), 'name_length': (8, 1)},
    'qemu.RAM_PAGE.pages': {'word.page': (0, 8), 'word.flags': (0, 8), 'data': (8, 4096)},
    'qemu.RAM_XBZRLE_OF': {'word.page': (0, 8), 'word.flags': (0, 8), 'name_length': (8, 1)},
    'qemu.RAM_XBZRLE.pages': {'word.page': (0, 8), 'word.flags': (0, 8), 'encoding': (8, 1), 'length': (9, 2)},
    'qemu.RAM_COMPRESSED_OF': {'word.page': (0, 8), 'word.flags': (0, 8), 'name_length': (8, 1)},
    'qemu.RAM_COMPRESSED.pages': {'word.page': (0, 8), 'word.flags': (0, 8), 'length': (8, 4)},
    'qemu.RAM_FLUSH': {'word.page': (0, 8), 'word.flags': (0, 8)},
    'qemu.RAM_HOOK': {'word.page': (0, 8), 'word.flags': (0, 8)},
    'qemu.RAM_EOS': {'word.page': (0, 8), 'word.flags': (0, 8)},
    'qemu.RAM_WORD': {'word.page': (0, 8), 'word.flags': (0, 8)},
    'qemu-multifd.header': {'magic': (0, 4), 'version': (4, 4), 'uuid': (8, 16), 'id': (24, 1), 'unused': (25, 39)},
    'qemu-multifd.PAGES': {'magic': (0, 4), 'version': (4, 4), 'flags.unknown': (8, 4), 'flags.device_state': (8, 4), 'flags.method': (8, 4), 'flags.sync': (8, 4), 'pages_allocated': (12, 4), 'normal_pages': (16, 4), 'data_size': (20, 4), 'packet_num': (24, 8), 'zero_pages': (32, 4), 'unused': (36, 28), 'block': (64, 256)},
    'qemu-multifd.PAGES.offsets': {'': (0, 8)},
    'qemu-multifd.DEVICE_STATE': {'magic': (0, 4), 'version': (4, 4), 'flags.unknown': (8, 4), 'flags.device_state': (8, 4), 'flags.method': (8, 4), 'flags.sync': (8, 4), 'device': (12, 256), 'instance_id': (268, 4), 'data_size': (272, 4)},
    'http.REPLY': {'length': (0, 2)},
    'libxc.pte': {'high': (0, 8), 'pfn': (0, 8), 'flags': (0, 8), 'present': (0, 8)},
    'libxl.XENSTORE_DATA_32': {'version': (0, 4), 'count': (4, 4)},
    'libxl.XENSTORE_DATA_32.entries': {'phys_offset': (0, 8), 'start_addr': (8, 8), 'size': (16, 8), 'namelen': (24, 4)},
    'libxl.XENSTORE_DATA_64': {'version': (0, 4), 'count': (4, 4)},
    'libxl.XENSTORE_DATA_64.entries': {'phys_offset': (0, 8), 'start_addr': (8, 8), 'size': (16, 8), 'namelen': (24, 4)},
}
RULES = {
    'xl.header': (('XL-MAGIC', 'magic', 0, 32, 0, 256, False, b'Xen saved domain, xl format\n \x00 \r'), ('XL-BYTEORDER', 'byteorder', 32, 4, 0, 32, False, (16909060,)), ('XL-FLAGS', 'mandatory_flags.reserved', 36, 4, 2, 30, False, (0,)), ('XL-FLAGS-OPT', 'optional_flags', 40, 4, 0, 32, False, (0,))),
    'libvirt.header': (('LIBVIRT-MAGIC', 'magic', 0, 16, 0, 128, False, b'libvirt-xml\n \x00 \r'), ('LIBVIRT-VERSION', 'version', 16, 4, 0, 32, False, (1, 2)), ('LIBVIRT-RSVD', 'reserved', 24, 40, 0, 320, False, b'\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00')),
    'xapi.header': (('XAPI-MAGIC', 'signature', 0, 15, 0, 120, False, b'XenSavedDomv2-\n'),),
    'libxl.header': (('LIBXL-HDR-IDENT', 'ident', 0, 8, 0, 64, False, b'LibxlFmt'), ('LIBXL-HDR-VERSION', 'version', 8, 4, 0, 32, True, (2,)), ('LIBXL-HDR-OPT-RSVD', 'options.reserved', 12, 4, 2, 30, True, (0,)), ('LIBXL-HDR-ENDIAN', 'options.endian', 12, 4, 0, 1, True, (0,))),
    'libxl.EMULATOR_XENSTORE_DATA': (('LIBXL-EMU-INDEX', 'index', 4, 4, 0, 32, False, (0,)),),
    'libxl.EMULATOR_CONTEXT': (('LIBXL-EMU-INDEX', 'index', 4, 4, 0, 32, False, (0,)),),
    'libxl.CHECKPOINT_STATE': (('LIBXL-CKPTSTATE-ID', 'control_id', 0, 4, 0, 32, False, (0, 1, 2, 3)),),
    'libxc.image_header': (('LIBXC-IHDR-MARKER', 'marker', 0, 8, 0, 64, False, b'\xff\xff\xff\xff\xff\xff\xff\xff'), ('LIBXC-IHDR-ID', 'id', 8, 4, 0, 32, True, (1480937030,)), ('LIBXC-IHDR-VERSION', 'version', 12, 4, 0, 32, True, (2, 3)), ('LIBXC-IHDR-OPT-RSVD', 'options.reserved', 16, 2, 1, 15, True, (0,)), ('LIBXC-IHDR-ENDIAN', 'options.endian', 16, 2, 0, 1, True, (0,)), ('LIBXC-IHDR-RSVD', 'reserved_1', 18, 2, 0, 16, True, (0,)), ('LIBXC-IHDR-RSVD', 'reserved_2', 20, 4, 0, 32, True, (0,))),
    'libxc.domain_header': (('LIBXC-DHDR-TYPE', 'type', 0, 4, 0, 32, False, (1, 2)), ('LIBXC-DHDR-PAGESHIFT', 'page_shift', 4, 2, 0, 16, False, (12,)), ('LIBXC-DHDR-RSVD', 'reserved', 6, 2, 0, 16, False, (0,))),
    'libxc.X86_PV_INFO': (('LIBXC-REC-RSVD', 'reserved', 2, 6, 0, 48, False, b'\x00\x00\x00\x00\x00\x00'),),
    'libxc.X86_PV_VCPU_BASIC': (('LIBXC-REC-RSVD', 'reserved', 4, 4, 0, 32, False, (0,)),),
    'libxc.X86_PV_VCPU_EXTENDED': (('LIBXC-REC-RSVD', 'reserved', 4, 4, 0, 32, False, (0,)),),
    'libxc.X86_PV_VCPU_XSAVE': (('LIBXC-REC-RSVD', 'reserved', 4, 4, 0, 32, False, (0,)),),
    'libxc.X86_PV_VCPU_MSRS': (('LIBXC-REC-RSVD', 'reserved', 4, 4, 0, 32, False, (0,)),),
    'libxc.X86_PV_VCPU_MSRS.msrs': (('LIBXC-REC-RSVD', 'reserved', 4, 4, 0, 32, False, (0,)),),
    'libxc.X86_TSC_INFO': (('LIBXC-REC-RSVD', 'reserved', 20, 4, 0, 32, False, (0,)),),
    'libxc.HVM_PARAMS': (('LIBXC-REC-RSVD', 'reserved', 4, 4, 0, 32, False, (0,)),),
    'libxc.X86_MSR_POLICY.msrs': (('LIBXC-MSR-FLAGS', 'flags', 4, 4, 0, 32, False, (0,)),),
    'libxc.PAGE_DATA': (('LIBXC-PAGE-HDR-RSVD', 'reserved', 4, 4, 0, 32, False, (0,)),),
    'xl-migrate.header': (('XL-MIGRATE-GREETING', 'greeting', 0, 54, 0, 432, False, b'xl migration receiver ready, send binary domain data.\n'),),
    'xl-migrate.READY': (('XL-MIGRATE-MESSAGE', 'message', 0, 34, 0, 272, False, b'domain received, ready to unpause\x00'),),
    'xl-migrate.GO': (('XL-MIGRATE-MESSAGE', 'message', 0, 44, 0, 352, False, b'domain is yours, you are cleared to unpause\x00'),),
    'xl-migrate.REPORT': (('XL-MIGRATE-MESSAGE', 'message', 0, 39, 0, 312, False, b'my copy unpause results are as follows\x00'),),
    'xl-migrate.GIVE_BACK': (('XL-MIGRATE-MESSAGE', 'message', 0, 44, 0, 352, False, b'domain is yours, you are cleared to unpause\x00'),),
    'legacy-64.TMEM': (_same := (('LEGACY-TMEM-FORM', 'version', 0, 4, 0, 32, False, (0, 1)), ('LEGACY-TMEM-FORM', 'marker_1', 8, 4, 0, 32, False, (4294967295,)))), 'legacy-32.TMEM': _same,
    'legacy-64.HVM_IDENT_PT': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_IDENT_PT': _same,
    'legacy-64.HVM_VM86_TSS': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_VM86_TSS': _same,
    'legacy-64.HVM_CONSOLE_PFN': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_CONSOLE_PFN': _same,
    'legacy-64.HVM_ACPI_IOPORTS_LOCATION': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_ACPI_IOPORTS_LOCATION': _same,
    'legacy-64.HVM_VIRIDIAN': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_VIRIDIAN': _same,
    'legacy-64.HVM_GENERATION_ID_ADDR': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_GENERATION_ID_ADDR': _same,
    'legacy-64.HVM_PAGING_RING_PFN': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_PAGING_RING_PFN': _same,
    'legacy-64.HVM_ACCESS_RING_PFN': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_ACCESS_RING_PFN': _same,
    'legacy-64.HVM_SHARING_RING_PFN': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_SHARING_RING_PFN': _same,
    'legacy-64.HVM_IOREQ_SERVER_PFN': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_IOREQ_SERVER_PFN': _same,
    'legacy-64.HVM_NR_IOREQ_SERVER_PAGES': (_same := (('LEGACY-PARAM-RESERVED', 'reserved', 0, 4, 0, 32, False, (0,)),)), 'legacy-32.HVM_NR_IOREQ_SERVER_PAGES': _same,
    'legacy-64.TOOLSTACK': (_same := (('LEGACY-TOOLSTACK', 'version', 4, 4, 0, 32, False, (1,)),)), 'legacy-32.TOOLSTACK': _same,
    'xapi-legacy.header': (('XAPI-OLD-MAGIC', 'signature', 0, 15, 0, 120, False, b'XenSavedDomain\n'),),
    'xend.header': (('XEND-MAGIC', 'magic', 0, 16, 0, 128, False, b'LinuxGuestRecord'),),
    'qemu.header': (('QEMU-HDR-MAGIC', 'magic', 0, 4, 0, 32, False, b'QEVM'), ('QEMU-HDR-VERSION', 'version', 4, 4, 0, 32, True, (3,))),
    'qemu-multifd.header': (('QEMU-MFD-HELLO', 'magic', 0, 4, 0, 32, True, (287454020,)), ('QEMU-MFD-HELLO', 'version', 4, 4, 0, 32, True, (1,))),
    'qemu-multifd.PAGES': (('QEMU-MFD-PACKET', 'magic', 0, 4, 0, 32, True, (287454020,)), ('QEMU-MFD-PACKET', 'version', 4, 4, 0, 32, True, (1,))),
    'qemu-multifd.DEVICE_STATE': (('QEMU-MFD-PACKET', 'magic', 0, 4, 0, 32, True, (287454020,)), ('QEMU-MFD-PACKET', 'version', 4, 4, 0, 32, True, (1,))),
}
LENGTHS = {
    'libvirt.XML': ('LIBVIRT-XML-LEN', 0, 1, 1, None, ()),
    'xapi.QEMU_TRAD': ('XAPI-QEMU-MAX', 0, 1, 0, 1048576, ()),
    'libxl.END': ('LIBXL-REC-ZEROLEN', 0, 0, 0, None, ()),
    'libxl.LIBXC_CONTEXT': ('LIBXL-REC-ZEROLEN', 0, 0, 0, None, ()),
    'libxl.CHECKPOINT_END': ('LIBXL-REC-ZEROLEN', 0, 0, 0, None, ()),
    'libxl.EMULATOR_XENSTORE_DATA': ('LIBXL-EMU-HDR', 8, 1, 0, None, ()),
    'libxl.EMULATOR_CONTEXT': ('LIBXL-EMU-HDR', 8, 1, 0, None, ()),
    'libxl.CHECKPOINT_STATE': ('LIBXL-CKPTSTATE-LEN', 4, 0, 0, None, ()),
    'libxc.END': ('LIBXC-REC-ZEROLEN', 0, 0, 0, None, ()),
    'libxc.VERIFY': ('LIBXC-REC-ZEROLEN', 0, 0, 0, None, ()),
    'libxc.CHECKPOINT': ('LIBXC-REC-ZEROLEN', 0, 0, 0, None, ()),
    'libxc.STATIC_DATA_END': ('LIBXC-REC-ZEROLEN', 0, 0, 0, None, ()),
    'libxc.TOOLSTACK': ('LIBXC-TOOLSTACK', 0, 1, 0, None, ()),
    'libxc.X86_CPUID_POLICY': ('LIBXC-CPUID-LEN', 0, 24, 1, None, ()),
    'libxc.X86_MSR_POLICY': ('LIBXC-MSR-LEN', 0, 16, 1, None, ()),
    'libxc.X86_PV_INFO': ('LIBXC-PVINFO-LEN', 8, 0, 0, None, ()),
    'libxc.X86_PV_P2M_FRAMES': ('LIBXC-P2M-LEN', 8, 8, 0, None, ()),
    'libxc.X86_TSC_INFO': ('LIBXC-TSC-LEN', 24, 0, 0, None, ()),
    'libxc.SHARED_INFO': ('LIBXC-SHINFO-LEN', 4096, 0, 0, None, ()),
    'libxc.X86_PV_VCPU_BASIC': ('LIBXC-VCPU-BASIC-LEN', 8, 1, 0, None, (2800, 5168)),
    'libxc.X86_PV_VCPU_EXTENDED': ('LIBXC-VCPU-EXT-LEN', 8, 1, 1, 128, ()),
    'libxc.X86_PV_VCPU_XSAVE': ('LIBXC-VCPU-XSAVE-LEN', 8, 1, 16, None, ()),
    'libxc.X86_PV_VCPU_MSRS': ('LIBXC-VCPU-MSRS-LEN', 8, 16, 1, None, ()),
    'libxc.HVM_CONTEXT': ('LIBXC-HVMCTX-NONEMPTY', 0, 1, 1, None, ()),
    'libxc.HVM_PARAMS': ('LIBXC-HVMPARAMS-LEN', 8, 16, 0, None, ()),
    'libxc.CHECKPOINT_DIRTY_PFN_LIST': ('COLO-DIRTY-LEN', 0, 8, 0, None, ()),
}
SEVERITY = {
    'STREAM-FRAMING-LOST': 'error',
    'STREAM-TRAILER': 'note',
    'STREAM-ZEROS': 'error',
    'STREAM-CONFIG-TYPE': 'warning',
    'STREAM-CONFIG-VCPUS': 'warning',
    'STREAM-CONFIG-VIRIDIAN': 'warning',
    'XL-MAGIC': 'error',
    'XL-BYTEORDER': 'error',
    'XL-FLAGS': 'error',
    'XL-FLAGS-OPT': 'warning',
    'XL-OPTDATA-LEN': 'error',
    'XL-CONFIG-PRESENT': 'warning',
    'XL-CONFIG-LEN': 'error',
    'XL-CONFIG-FORM': 'error',
    'XL-CONFIG-JSON': 'warning',
    'XL-CONFIG-DOMID': 'note',
    'XL-OPTDATA-REST': 'warning',
    'XL-FLAG-STREAM': 'error',
    'XL-TRUNC': 'error',
    'LIBVIRT-MAGIC': 'error',
    'LIBVIRT-VERSION': 'error',
    'LIBVIRT-XML-LEN': 'error',
    'LIBVIRT-XML': 'error',
    'LIBVIRT-RSVD': 'warning',
    'LIBVIRT-VERSION-STREAM': 'error',
    'LIBVIRT-TRUNC': 'error',
    'XAPI-MAGIC': 'error',
    'XAPI-TYPE': 'error',
    'XAPI-RESERVED': 'error',
    'XAPI-LENGTH': 'error',
    'XAPI-LENGTH-ZERO': 'warning',
    'XAPI-XENOPS-FIRST': 'warning',
    'XAPI-XENOPS-FORM': 'error',
    'XAPI-XENOPS-KEYS': 'error',
    'XAPI-XENOPS-VALUES': 'error',
    'XAPI-WORD-SIZE': 'warning',
    'XAPI-MEMORY': 'error',
    'XAPI-MEMORY-ONCE': 'warning',
    'XAPI-ORDER': 'warning',
    'XAPI-ONCE': 'warning',
    'XAPI-HVM-ONLY': 'warning',
    'XAPI-QEMU-MAX': 'error',
    'XAPI-QEMU-FORM': 'warning',
    'XAPI-QEMU-WHOLE': 'note',
    'XAPI-QEMU-PRESENT': 'warning',
    'XAPI-SWTPM-TEXT': 'error',
    'XAPI-SWTPM0': 'note',
    'XAPI-LIBXC-LEGACY': 'note',
    'XAPI-SLACK': 'note',
    'XAPI-TRUNC': 'error',
    'LIBXL-HDR-IDENT': 'error',
    'LIBXL-HDR-VERSION': 'error',
    'LIBXL-HDR-ENDIAN': 'error',
    'LIBXL-HDR-LEGACY': 'warning',
    'LIBXL-HDR-OPT-RSVD': 'warning',
    'LIBXL-REC-PAD': 'warning',
    'LIBXL-REC-TRUNC': 'error',
    'LIBXL-REC-UNKNOWN-MAND': 'error',
    'LIBXL-REC-UNKNOWN-OPT': 'note',
    'LIBXL-REC-ZEROLEN': 'error',
    'LIBXL-END-LAST': 'warning',
    'LIBXL-LIBXC-ONCE': 'error',
    'LIBXL-LIBXC-BEFORE-EMU': 'error',
    'LIBXL-EMU-HVM-ONLY': 'error',
    'LIBXL-EMU-HDR': 'error',
    'LIBXL-EMU-ID': 'error',
    'LIBXL-EMU-INDEX': 'warning',
    'LIBXL-EMU-TRADITIONAL': 'note',
    'LIBXL-EMU-CTX': 'warning',
    'LIBXL-EMU-EMPTY': 'warning',
    'LIBXL-EMU-QEMU': 'warning',
    'LIBXL-EMU-WHOLE': 'note',
    'LIBXL-EMUXS-OMIT': 'warning',
    'LIBXL-EMUXS-PAIRS': 'error',
    'LIBXL-EMUXS-PATH': 'error',
    'LIBXL-EMUXS-SIZE': 'error',
    'LIBXL-EMUXS-CHARSET': 'error',
    'LIBXL-EMUXS-DRAFT': 'error',
    'LIBXL-CKPTEND-CTX': 'error',
    'LIBXL-CKPTSTATE-CTX': 'error',
    'LIBXL-CKPTSTATE-LEN': 'error',
    'LIBXL-CKPTSTATE-ID': 'error',
    'LIBXL-BACK-NOHDR': 'error',
    'LIBXL-BACK-TYPES': 'error',
    'LIBXC-IHDR-MARKER': 'error',
    'LIBXC-IHDR-ID': 'error',
    'LIBXC-IHDR-VERSION': 'error',
    'LIBXC-IHDR-ENDIAN': 'error',
    'LIBXC-IHDR-OPT-RSVD': 'warning',
    'LIBXC-IHDR-RSVD': 'warning',
    'LIBXC-DHDR-TYPE': 'error',
    'LIBXC-DHDR-PAGESHIFT': 'error',
    'LIBXC-DHDR-RSVD': 'warning',
    'LIBXC-DHDR-XENVER': 'warning',
    'LIBXC-REC-PAD-ZERO': 'warning',
    'LIBXC-REC-LENGTH-MAX': 'error',
    'LIBXC-REC-TRUNC': 'error',
    'LIBXC-REC-UNKNOWN-MAND': 'error',
    'LIBXC-REC-UNKNOWN-OPT': 'note',
    'LIBXC-REC-WRONG-GUEST': 'error',
    'LIBXC-REC-ZEROLEN': 'error',
    'LIBXC-REC-NO-EMPTY': 'warning',
    'LIBXC-REC-RSVD': 'warning',
    'LIBXC-END-LAST': 'warning',
    'LIBXC-TOOLSTACK': 'error',
    'LIBXC-SDE-PRESENT': 'error',
    'LIBXC-SDE-ONCE': 'error',
    'LIBXC-SDE-V2': 'error',
    'LIBXC-CPUID-LEN': 'error',
    'LIBXC-MSR-LEN': 'error',
    'LIBXC-MSR-FLAGS': 'error',
    'LIBXC-POLICY-ORDER': 'error',
    'LIBXC-POLICY-V2': 'error',
    'LIBXC-POLICY-PRESENT': 'warning',
    'LIBXC-POLICY-VENDOR': 'warning',
    'LIBXC-PVINFO-LEN': 'error',
    'LIBXC-PVINFO-COMBO': 'error',
    'LIBXC-PVINFO-ONCE': 'error',
    'LIBXC-PVINFO-FIRST': 'error',
    'LIBXC-P2M-LEN': 'error',
    'LIBXC-P2M-RANGE': 'error',
    'LIBXC-P2M-BEFORE-PAGES': 'error',
    'LIBXC-P2M-START': 'warning',
    'LIBXC-P2M-REPEAT': 'warning',
    'LIBXC-P2M-ENTRY': 'error',
    'LIBXC-P2M-E0': 'note',
    'LIBXC-PAGE-COUNT': 'error',
    'LIBXC-PAGE-LEN': 'error',
    'LIBXC-PAGE-TYPE': 'error',
    'LIBXC-PAGE-ENT-RSVD': 'warning',
    'LIBXC-PAGE-HDR-RSVD': 'warning',
    'LIBXC-PAGE-PFN-PV': 'error',
    'LIBXC-PAGE-PFN-MAX': 'error',
    'LIBXC-PAGE-PRESENT': 'warning',
    'LIBXC-PAGE-PFN-HVM': 'error',
    'LIBXC-PAGE-COVER': 'warning',
    'LIBXC-PTE-PFN': 'error',
    'LIBXC-TSC-LEN': 'error',
    'LIBXC-TSC-PRESENT': 'warning',
    'LIBXC-SHINFO-LEN': 'error',
    'LIBXC-SHINFO-PRESENT': 'warning',
    'LIBXC-VCPU-HDR': 'error',
    'LIBXC-VCPU-ID': 'error',
    'LIBXC-VCPU-PFN': 'error',
    'LIBXC-VCPU-EFLAGS-VM': 'error',
    'LIBXC-VCPU-R8': 'warning',
    'LIBXC-VCPU-BASIC-LEN': 'error',
    'LIBXC-VCPU-EXT-LEN': 'error',
    'LIBXC-VCPU-XSAVE-LEN': 'error',
    'LIBXC-VCPU-MSRS-LEN': 'error',
    'LIBXC-VCPU0-BASIC': 'error',
    'LIBXC-VCPU-REPEAT': 'warning',
    'LIBXC-HVMCTX-NONEMPTY': 'error',
    'LIBXC-HVMCTX-PRESENT': 'error',
    'LIBXC-HVMCTX-HEADER': 'error',
    'LIBXC-HVMCTX-MAGIC': 'error',
    'LIBXC-HVMCTX-TILE': 'error',
    'LIBXC-HVMCTX-END': 'error',
    'LIBXC-HVMCTX-TAIL': 'warning',
    'LIBXC-HVMCTX-TYPE': 'error',
    'LIBXC-HVMCTX-LEN': 'error',
    'LIBXC-HVMPARAMS-LEN': 'error',
    'LIBXC-HVMPARAMS-PRESENT': 'warning',
    'LIBXC-HVMPARAMS-ORDER': 'note',
    'LIBXC-HVMPARAMS-PAE': 'warning',
    'LIBXC-HVMPARAMS-INDEX': 'error',
    'LIBXC-VERIFY-1': 'error',
    'LIBXC-CKPT-PLAIN': 'error',
    'LIBXC-DIRTY-FWD': 'error',
    'LIBXC-ERRATA-1': 'warning',
    'LIBXC-HVMCTX-CPU': 'error',
    'LIBXC-HVMCTX-INSTANCE': 'error',
    'LIBXC-HVMCTX-REPEAT': 'warning',
    'LIBXC-HVMCTX-PIC': 'error',
    'LIBXC-HVMCTX-LAPIC': 'error',
    'LIBXC-HVMCTX-PCILINK': 'error',
    'LIBXC-HVMCTX-TIMER': 'error',
    'LIBXC-HVMCTX-HPET': 'note',
    'LIBXC-HVMCTX-MTRR': 'error',
    'LIBXC-HVMCTX-XSAVE': 'error',
    'LIBXC-HVMCTX-VIRIDIAN': 'error',
    'LIBXC-HVMCTX-MSR': 'error',
    'LIBXC-VCPU-EXT': 'error',
    'LIBXC-VCPU-XSAVE': 'error',
    'LIBXC-PTE-LEVEL': 'error',
    'LIBXC-PTE-WRITABLE': 'error',
    'LIBXC-PTE-EMPTY': 'warning',
    'CKPT-CKPT-REC': 'error',
    'CKPT-STATIC-ONCE': 'error',
    'CKPT-CUT': 'warning',
    'REMUS-BACK': 'error',
    'COLO-HVM': 'error',
    'COLO-NEW-FWD': 'error',
    'COLO-DIRTY-LEN': 'error',
    'COLO-DIRTY-HDR': 'error',
    'COLO-DIRTY-POS': 'error',
    'COLO-PAGES': 'error',
    'XL-MIGRATE-GREETING': 'error',
    'XL-MIGRATE-CONFIG': 'error',
    'XL-MIGRATE-TRUNC': 'error',
    'XL-MIGRATE-MESSAGE': 'error',
    'XL-MIGRATE-STATUS': 'note',
    'XL-MIGRATE-UNFINISHED': 'note',
    'XL-MIGRATE-AFTER': 'warning',
    'STREAM-TEXT': 'error',
    'LEGACY-TRUNC': 'error',
    'LEGACY-CHUNK': 'error',
    'LEGACY-AFTER': 'warning',
    'LEGACY-ONCE': 'warning',
    'LEGACY-TMEM-FIRST': 'warning',
    'LEGACY-TMEM-EXTRA': 'error',
    'LEGACY-HVM-ONLY': 'error',
    'LEGACY-PAGES': 'error',
    'LEGACY-VCPU-INFO': 'note',
    'LEGACY-COMPRESSED-ON': 'error',
    'XAPI-OLD-TRUNC': 'error',
    'XEND-TRUNC': 'error',
    'XEND-CONFIG-LEN': 'error',
    'LEGACY-P2M-SIZE': 'error',
    'LEGACY-EXTINFO-SIZE': 'error',
    'LEGACY-EXTINFO-BLOCKS': 'error',
    'LEGACY-EXTINFO-VCPU': 'error',
    'LEGACY-EXTINFO-TAG': 'warning',
    'LEGACY-P2M-ENTRY': 'error',
    'LEGACY-BATCH-COUNT': 'error',
    'LEGACY-PAGE-PFN': 'error',
    'LEGACY-PAGE-TYPE': 'error',
    'LEGACY-PAGE-RESERVED': 'error',
    'LEGACY-VCPU-ID': 'error',
    'LEGACY-VCPU-MAP': 'warning',
    'LEGACY-TMEM-FORM': 'error',
    'LEGACY-PARAM-RESERVED': 'warning',
    'LEGACY-PARAM-ZERO': 'warning',
    'LEGACY-ACPI-IOPORTS': 'warning',
    'LEGACY-IOREQ-PAIR': 'warning',
    'LEGACY-TOOLSTACK': 'error',
    'LEGACY-COMPRESSED-FORM': 'error',
    'LEGACY-COMPRESSED-COUNT': 'error',
    'LEGACY-UNMAPPED': 'error',
    'LEGACY-VCPU-PFN': 'error',
    'LEGACY-VCPU-EXT': 'error',
    'LEGACY-XSAVE-SIZE': 'error',
    'LEGACY-HVMCTX-FORM': 'error',
    'LEGACY-HVMCTX-ENTRY': 'error',
    'LEGACY-HVMCTX-TAIL': 'warning',
    'LEGACY-QEMU-PRESENT': 'error',
    'LEGACY-QEMU-FORM': 'error',
    'LEGACY-QEMU-WHOLE': 'warning',
    'LEGACY-LENGTH': 'error',
    'XAPI-OLD-MAGIC': 'error',
    'XAPI-OLD-STREAM': 'error',
    'XEND-MAGIC': 'error',
    'XEND-CONFIG-FORM': 'error',
    'XEND-STREAM': 'error',
    'QEMU-HDR-MAGIC': 'error',
    'QEMU-HDR-VERSION': 'error',
    'QEMU-TRUNC': 'error',
    'QEMU-AFTER': 'warning',
    'QEMU-SEC-TYPE': 'error',
    'QEMU-CFG-ONCE': 'error',
    'QEMU-SUB-KNOWN': 'error',
    'QEMU-SUB-VERSION': 'error',
    'QEMU-CFG-CAPS': 'error',
    'QEMU-SEC-IDSTR': 'error',
    'QEMU-SEC-ID': 'error',
    'QEMU-SEC-ORDER': 'warning',
    'QEMU-SEC-DUP': 'warning',
    'QEMU-FTR-MATCH': 'error',
    'QEMU-RAM-VERSION': 'error',
    'QEMU-RAM-COMBO': 'error',
    'QEMU-RAM-BLOCK': 'error',
    'QEMU-RAM-SUM': 'error',
    'QEMU-RAM-CONT-FIRST': 'error',
    'QEMU-RAM-CONT-ALONE': 'warning',
    'QEMU-RAM-RANGE': 'error',
    'QEMU-RAM-FILL': 'warning',
    'QEMU-RAM-XBZRLE': 'error',
    'QEMU-RAM-COMPRESSED': 'error',
    'QEMU-RAM-CHANGES': 'error',
    'QEMU-RAM-ZLIB': 'error',
    'QEMU-RAM-ZLIB-PAGE': 'warning',
    'QEMU-RAM-HOOK': 'warning',
    'QEMU-RAM-COVER': 'warning',
    'QEMU-CPR-ALONE': 'warning',
    'QEMU-CMD-RANGE': 'error',
    'QEMU-CMD-LEN': 'error',
    'QEMU-CMD-PING-RP': 'error',
    'QEMU-CMD-STATE': 'error',
    'QEMU-CMD-PACKAGED': 'warning',
    'QEMU-CMD-PACKAGE': 'error',
    'QEMU-CMD-BLOCK': 'error',
    'QEMU-DESC-OPT': 'warning',
    'QEMU-DESC-SECTIONS': 'warning',
    'QEMU-MAP-VERSION': 'error',
    'QEMU-MAP-PAGE': 'error',
    'QEMU-MAP-PLACE': 'error',
    'QEMU-MAP-WORDS': 'error',
    'QEMU-MAP-RAM': 'error',
    'QEMU-XDM-ONLYFULL': 'warning',
    'QEMU-XDM-NOFOOTER': 'warning',
    'QEMU-POSTCOPY': 'note',
    'QEMU-TARGET-MACHINE': 'warning',
    'QEMU-TARGET-REFUSED': 'warning',
    'QEMU-TARGET-LOST': 'warning',
    'QEMU-MFD-HELLO': 'error',
    'QEMU-MFD-PACKET': 'error',
    'QEMU-MFD-TRUNC': 'error',
    'QEMU-MFD-FLAGS': 'error',
    'QEMU-MFD-COUNT': 'error',
    'QEMU-MFD-SIZE': 'error',
    'QEMU-MFD-DATA': 'error',
    'QEMU-MFD-BLOCK': 'error',
    'QEMU-MFD-ALONE': 'warning',
    'QEMU-MFD-SET': 'error',
    'QEMU-MFD-NUMBER': 'warning',
    'QEMU-MFD-RANGE': 'error',
    'VFIO-SEC-VERSION': 'error',
    'VFIO-MARK-KNOWN': 'error',
    'VFIO-SETUP-EOS': 'error',
    'VFIO-CFG-EOS': 'error',
    'VFIO-INIT-ONCE': 'error',
    'VFIO-MARK-PLACE': 'warning',
    'VFIO-ORDER': 'warning',
    'VFIO-P-FLAG': 'error',
    'VFIO-MFD-SHORT': 'error',
    'VFIO-MFD-VERSION': 'error',
    'VFIO-MFD-FLAGS': 'error',
    'VFIO-MFD-INDEX': 'error',
    'VFIO-MFD-CONFIG': 'error',
    'VFIO-MFD-ORDER': 'error',
}
SCRIPT_REJECTS = frozenset(['CKPT-CUT', 'LIBXC-DHDR-RSVD', 'LIBXC-IHDR-OPT-RSVD', 'LIBXC-IHDR-RSVD', 'LIBXC-PAGE-ENT-RSVD', 'LIBXC-PAGE-HDR-RSVD', 'LIBXC-REC-PAD-ZERO', 'LIBXC-REC-RSVD', 'LIBXL-HDR-OPT-RSVD', 'LIBXL-REC-PAD'])
RECORDS: dict[str, dict[int, str]] = {
    'libxl': {0: 'END', 1: 'LIBXC_CONTEXT', 2: 'EMULATOR_XENSTORE_DATA', 3: 'EMULATOR_CONTEXT', 4: 'CHECKPOINT_END', 5: 'CHECKPOINT_STATE'},
    'libxc': {0: 'END', 1: 'PAGE_DATA', 2: 'X86_PV_INFO', 3: 'X86_PV_P2M_FRAMES', 4: 'X86_PV_VCPU_BASIC', 5: 'X86_PV_VCPU_EXTENDED', 6: 'X86_PV_VCPU_XSAVE', 7: 'SHARED_INFO', 8: 'X86_TSC_INFO', 9: 'HVM_CONTEXT', 10: 'HVM_PARAMS', 11: 'TOOLSTACK', 12: 'X86_PV_VCPU_MSRS', 13: 'VERIFY', 14: 'CHECKPOINT', 15: 'CHECKPOINT_DIRTY_PFN_LIST', 16: 'STATIC_DATA_END', 17: 'X86_CPUID_POLICY', 18: 'X86_MSR_POLICY'},
    'legacy-64': (_same := {4096: 'EXTENDED_INFO', 4097: 'P2M_FRAME_LIST', 4098: 'PAGE_BATCH', 0: 'END_OF_BODY', -1: 'ENABLE_VERIFY_MODE', -2: 'VCPU_INFO', -3: 'HVM_IDENT_PT', -4: 'HVM_VM86_TSS', -7: 'TSC_INFO', -8: 'HVM_CONSOLE_PFN', -9: 'LAST_CHECKPOINT', -10: 'HVM_ACPI_IOPORTS_LOCATION', -11: 'HVM_VIRIDIAN', -13: 'ENABLE_COMPRESSION', -14: 'HVM_GENERATION_ID_ADDR', -15: 'HVM_PAGING_RING_PFN', -16: 'HVM_ACCESS_RING_PFN', -17: 'HVM_SHARING_RING_PFN', -19: 'HVM_IOREQ_SERVER_PFN', -20: 'HVM_NR_IOREQ_SERVER_PAGES', -12: 'COMPRESSED_DATA', -18: 'TOOLSTACK', -5: 'TMEM', -6: 'TMEM_EXTRA', 4112: 'TMEM_POOL', 4113: 'TMEM_END', 4114: 'TMEM_PAGE_0', 4115: 'TMEM_POOL_END_0', 4116: 'TMEM_FLUSHED_0', 4117: 'TMEM_PAGE_1', 4118: 'TMEM_POOL_END_1', 4119: 'TMEM_FLUSHED_1', 4128: 'UNMAPPED', 4129: 'VCPU', 4130: 'VCPU_EXT', 4131: 'VCPU_XSAVE', 4132: 'SHARED_INFO', 4133: 'HVM_TAIL', 4134: 'HVM_CONTEXT', 4144: 'QEMU_TO_END', 4145: 'QEMU_STATE', 4146: 'QEMU_0002', 4147: 'QEMU_REMUS', 4148: 'QEMU_XAPI'}), 'legacy-32': _same,
    'back-channel': {},
    'xl': {0: 'OPTIONAL_DATA'},
    'xl-migrate': {0: 'READY', 1: 'GO', 2: 'REPORT', 3: 'STATUS', 4: 'GIVE_BACK'},
    'libvirt': {0: 'XML'},
    'xapi': {15: 'XENOPS', 240: 'LIBXC', 241: 'LIBXL', 242: 'LIBXC_LEGACY', 3840: 'QEMU_TRAD', 3841: 'QEMU_XEN', 3856: 'DEMU', 3857: 'VARSTORED', 3858: 'SWTPM0', 3859: 'SWTPM', 65535: 'END_OF_IMAGE'},
    'xapi-legacy': {},
    'xend': {0: 'CONFIG'},
    'qemu': {0: 'EOF', 1: 'SECTION_START', 2: 'SECTION_PART', 3: 'SECTION_END', 4: 'SECTION_FULL', 5: 'SUBSECTION', 6: 'VMDESCRIPTION', 7: 'CONFIGURATION', 8: 'COMMAND', 126: 'SECTION_FOOTER', 256: 'RAM_TOTAL', 257: 'RAM_BLOCK', 258: 'RAM_BLOCK_AT', 259: 'RAM_BLOCK_SIZED', 260: 'RAM_BLOCK_SIZED_AT', 261: 'RAM_BLOCK_MAPPED', 262: 'RAM_BLOCK_MAPPED_AT', 263: 'RAM_MAPPED_PAGES', 272: 'RAM_ZERO_OF', 273: 'RAM_ZERO', 274: 'RAM_PAGE_OF', 275: 'RAM_PAGE', 276: 'RAM_XBZRLE_OF', 277: 'RAM_XBZRLE', 278: 'RAM_COMPRESSED_OF', 279: 'RAM_COMPRESSED', 280: 'RAM_FLUSH', 281: 'RAM_HOOK', 282: 'RAM_EOS', 283: 'RAM_WORD', 284: 'SECTION_DATA'},
    'qemu-multifd': {0: 'PAGES', 1: 'DEVICE_STATE'},
    'text': {0: 'TEXT'},
    'http': {0: 'HEAD', 1: 'REPLY'},
}
LIBXL_END = 0
LIBXL_LIBXC_CONTEXT = 1
LIBXL_EMULATOR_XENSTORE_DATA = 2
LIBXL_EMULATOR_CONTEXT = 3
LIBXL_CHECKPOINT_END = 4
LIBXL_CHECKPOINT_STATE = 5
LIBXC_END = 0
LIBXC_PAGE_DATA = 1
LIBXC_X86_PV_INFO = 2
LIBXC_X86_PV_P2M_FRAMES = 3
LIBXC_X86_PV_VCPU_BASIC = 4
LIBXC_X86_PV_VCPU_EXTENDED = 5
LIBXC_X86_PV_VCPU_XSAVE = 6
LIBXC_SHARED_INFO = 7
LIBXC_X86_TSC_INFO = 8
LIBXC_HVM_CONTEXT = 9
LIBXC_HVM_PARAMS = 10
LIBXC_TOOLSTACK = 11
LIBXC_X86_PV_VCPU_MSRS = 12
LIBXC_VERIFY = 13
LIBXC_CHECKPOINT = 14
LIBXC_CHECKPOINT_DIRTY_PFN_LIST = 15
LIBXC_STATIC_DATA_END = 16
LIBXC_X86_CPUID_POLICY = 17
LIBXC_X86_MSR_POLICY = 18
LEGACY_EXTENDED_INFO = 4096
LEGACY_P2M_FRAME_LIST = 4097
LEGACY_PAGE_BATCH = 4098
LEGACY_END_OF_BODY = 0
LEGACY_ENABLE_VERIFY_MODE = -1
LEGACY_VCPU_INFO = -2
LEGACY_HVM_IDENT_PT = -3
LEGACY_HVM_VM86_TSS = -4
LEGACY_TSC_INFO = -7
LEGACY_HVM_CONSOLE_PFN = -8
LEGACY_LAST_CHECKPOINT = -9
LEGACY_HVM_ACPI_IOPORTS_LOCATION = -10
LEGACY_HVM_VIRIDIAN = -11
LEGACY_ENABLE_COMPRESSION = -13
LEGACY_HVM_GENERATION_ID_ADDR = -14
LEGACY_HVM_PAGING_RING_PFN = -15
LEGACY_HVM_ACCESS_RING_PFN = -16
LEGACY_HVM_SHARING_RING_PFN = -17
LEGACY_HVM_IOREQ_SERVER_PFN = -19
LEGACY_HVM_NR_IOREQ_SERVER_PAGES = -20
LEGACY_COMPRESSED_DATA = -12
LEGACY_TOOLSTACK = -18
LEGACY_TMEM = -5
LEGACY_TMEM_EXTRA = -6
LEGACY_TMEM_POOL = 4112
LEGACY_TMEM_END = 4113
LEGACY_TMEM_PAGE_0 = 4114
LEGACY_TMEM_POOL_END_0 = 4115
LEGACY_TMEM_FLUSHED_0 = 4116
LEGACY_TMEM_PAGE_1 = 4117
LEGACY_TMEM_POOL_END_1 = 4118
LEGACY_TMEM_FLUSHED_1 = 4119
LEGACY_UNMAPPED = 4128
LEGACY_VCPU = 4129
LEGACY_VCPU_EXT = 4130
LEGACY_VCPU_XSAVE = 4131
LEGACY_SHARED_INFO = 4132
LEGACY_HVM_TAIL = 4133
LEGACY_HVM_CONTEXT = 4134
LEGACY_QEMU_TO_END = 4144
LEGACY_QEMU_STATE = 4145
LEGACY_QEMU_0002 = 4146
LEGACY_QEMU_REMUS = 4147
LEGACY_QEMU_XAPI = 4148
XL_OPTIONAL_DATA = 0
XL_MIGRATE_READY = 0
XL_MIGRATE_GO = 1
XL_MIGRATE_REPORT = 2
XL_MIGRATE_STATUS = 3
XL_MIGRATE_GIVE_BACK = 4
LIBVIRT_XML = 0
XAPI_XENOPS = 15
XAPI_LIBXC = 240
XAPI_LIBXL = 241
XAPI_LIBXC_LEGACY = 242
XAPI_QEMU_TRAD = 3840
XAPI_QEMU_XEN = 3841
XAPI_DEMU = 3856
XAPI_VARSTORED = 3857
XAPI_SWTPM0 = 3858
XAPI_SWTPM = 3859
XAPI_END_OF_IMAGE = 65535
XEND_CONFIG = 0
QEMU_EOF = 0
QEMU_SECTION_START = 1
QEMU_SECTION_PART = 2
QEMU_SECTION_END = 3
QEMU_SECTION_FULL = 4
QEMU_SUBSECTION = 5
QEMU_VMDESCRIPTION = 6
QEMU_CONFIGURATION = 7
QEMU_COMMAND = 8
QEMU_SECTION_FOOTER = 126
QEMU_RAM_TOTAL = 256
QEMU_RAM_BLOCK = 257
QEMU_RAM_BLOCK_AT = 258
QEMU_RAM_BLOCK_SIZED = 259
QEMU_RAM_BLOCK_SIZED_AT = 260
QEMU_RAM_BLOCK_MAPPED = 261
QEMU_RAM_BLOCK_MAPPED_AT = 262
QEMU_RAM_MAPPED_PAGES = 263
QEMU_RAM_ZERO_OF = 272
QEMU_RAM_ZERO = 273
QEMU_RAM_PAGE_OF = 274
QEMU_RAM_PAGE = 275
QEMU_RAM_XBZRLE_OF = 276
QEMU_RAM_XBZRLE = 277
QEMU_RAM_COMPRESSED_OF = 278
QEMU_RAM_COMPRESSED = 279
QEMU_RAM_FLUSH = 280
QEMU_RAM_HOOK = 281
QEMU_RAM_EOS = 282
QEMU_RAM_WORD = 283
QEMU_SECTION_DATA = 284
QEMU_MULTIFD_PAGES = 0
QEMU_MULTIFD_DEVICE_STATE = 1
TEXT_TEXT = 0
HTTP_HEAD = 0
HTTP_REPLY = 1
LIBXC_VERSION_STATIC = 3
LAYERS = {
    'libxl': {'program': 'reader.libxl:program', 'checks': 'checks.libxl:Checks', 'converts': 'convert.libxl:Part', 'memory': '', 'magic': ('ident',), 'version': 'version', 'align': 8, 'optional': 2147483648, 'length': '', 'length_max': 0, 'form': True, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': None, 'end': 'END', 'after_end': '', 'holds': ('libxc',), 'truncated': 'LIBXL-REC-TRUNC', 'unknown': ('LIBXL-REC-UNKNOWN-MAND', 'LIBXL-REC-UNKNOWN-OPT'), 'padding': 'LIBXL-REC-PAD', 'too_long': '', 'trailing': 'LIBXL-END-LAST', 'headers': ('header',), 'opens': {1: 'libxc'}, 'opening': ('LIBXC_CONTEXT',), 'surveys': frozenset(), 'headless': frozenset(), 'closes': 'libxl.CHECKPOINT_END', 'configuration': ''},
    'libxc': {'program': 'reader.libxc:program', 'checks': 'checks.libxc:Checks', 'converts': 'convert.libxc:Part', 'memory': 'memory.libxc:Pages', 'magic': ('marker', 'id'), 'version': 'version', 'align': 8, 'optional': 2147483648, 'length': '', 'length_max': 134217728, 'form': True, 'image': True, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': None, 'end': 'END', 'after_end': '', 'holds': (), 'truncated': 'LIBXC-REC-TRUNC', 'unknown': ('LIBXC-REC-UNKNOWN-MAND', 'LIBXC-REC-UNKNOWN-OPT'), 'padding': 'LIBXC-REC-PAD-ZERO', 'too_long': 'LIBXC-REC-LENGTH-MAX', 'trailing': 'LIBXC-END-LAST', 'headers': ('image_header', 'domain_header'), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': 'libxc.CHECKPOINT', 'configuration': ''},
    'legacy-64': (_same := {'program': 'reader.legacy:program', 'checks': 'checks.legacy:Checks', 'converts': 'convert.legacy:Part', 'memory': 'memory.legacy:Pages', 'magic': (), 'version': '', 'align': 1, 'optional': 0, 'length': '', 'length_max': 0, 'form': True, 'image': True, 'text': False, 'big': False, 'alias': 'legacy', 'look': '', 'target': ('', ''), 'legacy': None, 'end': '', 'after_end': '', 'holds': (), 'truncated': 'LEGACY-TRUNC', 'unknown': ('LEGACY-CHUNK',), 'padding': '', 'too_long': '', 'trailing': 'LEGACY-AFTER', 'headers': ('header',), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset({4096, 4097, 4098, 4112, 4113, 4114, 4115, 4116, 4117, 4118, 4119, 4128, 4129, 4130, 4131, 4132, 4133, 4134, 4144, 4145, 4146, 4147, 4148}), 'closes': '', 'configuration': ''}), 'legacy-32': _same,
    'back-channel': {'program': 'reader.backchannel:program', 'checks': 'checks.backchannel:Checks', 'converts': 'convert.backchannel:Part', 'memory': '', 'magic': (), 'version': '', 'align': 1, 'optional': 0, 'length': '', 'length_max': 0, 'form': True, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': None, 'end': '', 'after_end': '', 'holds': ('libxl', 'libxc'), 'truncated': '', 'unknown': (), 'padding': '', 'too_long': '', 'trailing': '', 'headers': (), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': ''},
    'xl': {'program': 'reader.containers:save_file', 'checks': 'checks.xl_libvirt:Xl', 'converts': 'convert.save_files:Xl', 'memory': '', 'magic': ('magic',), 'version': '', 'align': 1, 'optional': 0, 'length': 'optional_data_len', 'length_max': 0, 'form': True, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': ('mandatory_flags.stream_v2', 2, 0), 'end': '', 'after_end': '', 'holds': ('libxl', 'libxc', 'legacy-64', 'legacy-32'), 'truncated': 'XL-TRUNC', 'unknown': (), 'padding': '', 'too_long': '', 'trailing': '', 'headers': ('header',), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': 'xl.OPTIONAL_DATA'},
    'xl-migrate': {'program': 'reader.containers:xl_migrate', 'checks': 'checks.xl_migrate:Checks', 'converts': '', 'memory': '', 'magic': ('greeting',), 'version': '', 'align': 1, 'optional': 0, 'length': '', 'length_max': 0, 'form': True, 'image': False, 'text': True, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': None, 'end': '', 'after_end': '', 'holds': ('back-channel', 'xl'), 'truncated': 'XL-MIGRATE-TRUNC', 'unknown': (), 'padding': '', 'too_long': '', 'trailing': 'XL-MIGRATE-AFTER', 'headers': ('header',), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': ''},
    'libvirt': {'program': 'reader.containers:save_file', 'checks': 'checks.xl_libvirt:Libvirt', 'converts': 'convert.save_files:Libvirt', 'memory': '', 'magic': ('magic',), 'version': '', 'align': 1, 'optional': 0, 'length': 'xml_len', 'length_max': 0, 'form': True, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': ('version', 4294967295, 1), 'end': '', 'after_end': '', 'holds': ('libxl', 'libxc', 'legacy-64', 'legacy-32'), 'truncated': 'LIBVIRT-TRUNC', 'unknown': (), 'padding': '', 'too_long': '', 'trailing': '', 'headers': ('header',), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': 'libvirt.XML'},
    'xapi': {'program': 'reader.xapi:program', 'checks': 'checks.xapi:Checks', 'converts': 'convert.xapi:Part', 'memory': '', 'magic': ('signature',), 'version': '', 'align': 1, 'optional': 0, 'length': '', 'length_max': 4611686018427387903, 'form': True, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': None, 'end': 'END_OF_IMAGE', 'after_end': '', 'holds': ('libxc', 'legacy-64', 'legacy-32'), 'truncated': 'XAPI-TRUNC', 'unknown': ('XAPI-TYPE',), 'padding': '', 'too_long': 'XAPI-LENGTH', 'trailing': 'XAPI-SLACK', 'headers': ('header',), 'opens': {240: 'libxc', 242: 'legacy-64'}, 'opening': ('LIBXC', 'LIBXC_LEGACY'), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': 'xapi.XENOPS'},
    'xapi-legacy': {'program': 'reader.containers:save_file', 'checks': 'checks.xend:XapiLegacy', 'converts': 'convert.save_files:Old', 'memory': '', 'magic': ('signature',), 'version': '', 'align': 1, 'optional': 0, 'length': '', 'length_max': 0, 'form': True, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': (), 'end': '', 'after_end': '', 'holds': ('legacy-64', 'legacy-32'), 'truncated': 'XAPI-OLD-TRUNC', 'unknown': (), 'padding': '', 'too_long': '', 'trailing': '', 'headers': ('header',), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': ''},
    'xend': {'program': 'reader.containers:save_file', 'checks': 'checks.xend:Xend', 'converts': 'convert.save_files:Old', 'memory': '', 'magic': ('magic',), 'version': '', 'align': 1, 'optional': 0, 'length': 'config_len', 'length_max': 2147483647, 'form': True, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': (), 'end': '', 'after_end': '', 'holds': ('legacy-64', 'legacy-32'), 'truncated': 'XEND-TRUNC', 'unknown': (), 'padding': '', 'too_long': 'XEND-CONFIG-LEN', 'trailing': '', 'headers': ('header',), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': 'xend.CONFIG'},
    'qemu': {'program': 'reader.qemu:program', 'checks': 'checks.qemu:Checks', 'converts': '', 'memory': 'memory.qemu:Pages', 'magic': ('magic',), 'version': 'version', 'align': 1, 'optional': 0, 'length': '', 'length_max': 0, 'form': True, 'image': False, 'text': False, 'big': True, 'alias': '', 'look': 'reader.qemu_look:look', 'target': ('qemu', 'checks.qemu_target:Judge'), 'legacy': None, 'end': 'EOF', 'after_end': 'VMDESCRIPTION', 'holds': (), 'truncated': 'QEMU-TRUNC', 'unknown': ('QEMU-SEC-TYPE',), 'padding': '', 'too_long': '', 'trailing': 'QEMU-AFTER', 'headers': ('header',), 'opens': {}, 'opening': (), 'surveys': frozenset({4, 5, 7, 284, 126}), 'headless': frozenset({256, 257, 258, 259, 260, 261, 262, 263, 272, 273, 274, 275, 276, 277, 278, 279, 280, 281, 282, 283, 284}), 'closes': '', 'configuration': ''},
    'qemu-multifd': {'program': 'reader.qemu_multifd:program', 'checks': 'checks.qemu_multifd:Checks', 'converts': '', 'memory': '', 'magic': ('magic', 'version'), 'version': '', 'align': 1, 'optional': 0, 'length': '', 'length_max': 0, 'form': True, 'image': False, 'text': False, 'big': True, 'alias': '', 'look': 'reader.qemu_look:channel', 'target': ('', ''), 'legacy': None, 'end': '', 'after_end': '', 'holds': (), 'truncated': 'QEMU-MFD-TRUNC', 'unknown': (), 'padding': '', 'too_long': '', 'trailing': '', 'headers': ('header',), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': ''},
    'text': {'program': 'reader.containers:preface', 'checks': 'checks.xl_migrate:Text', 'converts': '', 'memory': '', 'magic': (), 'version': '', 'align': 1, 'optional': 0, 'length': '', 'length_max': 0, 'form': False, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': None, 'end': '', 'after_end': '', 'holds': (), 'truncated': '', 'unknown': (), 'padding': '', 'too_long': '', 'trailing': '', 'headers': (), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': ''},
    'http': {'program': 'reader.containers:preface', 'checks': 'checks.layer:Checks', 'converts': '', 'memory': '', 'magic': (), 'version': '', 'align': 1, 'optional': 0, 'length': '', 'length_max': 0, 'form': False, 'image': False, 'text': False, 'big': False, 'alias': '', 'look': '', 'target': ('', ''), 'legacy': None, 'end': '', 'after_end': '', 'holds': (), 'truncated': '', 'unknown': (), 'padding': '', 'too_long': '', 'trailing': '', 'headers': (), 'opens': {}, 'opening': (), 'surveys': frozenset(), 'headless': frozenset(), 'closes': '', 'configuration': ''},
}
LIBXC_GUESTS = {
    0: ('pv', 'hvm'),
    1: ('pv', 'hvm'),
    2: ('pv',),
    3: ('pv',),
    4: ('pv',),
    5: ('pv',),
    6: ('pv',),
    7: ('pv',),
    8: ('pv', 'hvm'),
    9: ('hvm',),
    10: ('hvm',),
    11: ('pv', 'hvm'),
    12: ('pv',),
    13: ('pv', 'hvm'),
    14: ('pv', 'hvm'),
    15: ('pv', 'hvm'),
    16: ('pv', 'hvm'),
    17: ('pv', 'hvm'),
    18: ('pv', 'hvm'),
}
GUESTS = {1: 'pv', 2: 'hvm'}
BITS: dict[str, dict[int, int]] = {
    'libxl': {0: 1, 1: 2, 2: 4, 3: 8, 4: 16, 5: 32},
    'libxc': {0: 1, 1: 2, 2: 4, 3: 8, 4: 16, 5: 32, 6: 64, 7: 128, 8: 256, 9: 512, 10: 1024, 11: 2048, 12: 4096, 13: 8192, 14: 16384, 15: 32768, 16: 65536, 17: 131072, 18: 262144},
    'legacy-64': (_same := {4096: 1, 4097: 2, 4098: 4, 0: 8, -1: 16, -2: 32, -3: 64, -4: 128, -7: 256, -8: 512, -9: 1024, -10: 2048, -11: 4096, -13: 8192, -14: 16384, -15: 32768, -16: 65536, -17: 131072, -19: 262144, -20: 524288, -12: 1048576, -18: 2097152, -5: 4194304, -6: 8388608, 4112: 16777216, 4113: 33554432, 4114: 67108864, 4115: 134217728, 4116: 268435456, 4117: 536870912, 4118: 1073741824, 4119: 2147483648, 4128: 4294967296, 4129: 8589934592, 4130: 17179869184, 4131: 34359738368, 4132: 68719476736, 4133: 137438953472, 4134: 274877906944, 4144: 549755813888, 4145: 1099511627776, 4146: 2199023255552, 4147: 4398046511104, 4148: 8796093022208}), 'legacy-32': _same,
    'back-channel': {},
    'xl': {0: 1},
    'xl-migrate': {0: 1, 1: 2, 2: 4, 3: 8, 4: 16},
    'libvirt': {0: 1},
    'xapi': {15: 1, 240: 2, 241: 4, 242: 8, 3840: 16, 3841: 32, 3856: 64, 3857: 128, 3858: 256, 3859: 512, 65535: 1024},
    'xapi-legacy': {},
    'xend': {0: 1},
    'qemu': {0: 1, 1: 2, 2: 4, 3: 8, 4: 16, 5: 32, 6: 64, 7: 128, 8: 256, 126: 512, 256: 1024, 257: 2048, 258: 4096, 259: 8192, 260: 16384, 261: 32768, 262: 65536, 263: 131072, 272: 262144, 273: 524288, 274: 1048576, 275: 2097152, 276: 4194304, 277: 8388608, 278: 16777216, 279: 33554432, 280: 67108864, 281: 134217728, 282: 268435456, 283: 536870912, 284: 1073741824},
    'qemu-multifd': {0: 1, 1: 2},
    'text': {0: 1},
    'http': {0: 1, 1: 2},
}
CHECKPOINT_OPEN = 2147483648
CHECKPOINT_CLOSED = 1073741824
FRESH = 536870912
ORDER: dict[str, dict[tuple[str | None, int], dict[int, tuple[tuple[str, int, int, int], ...]]]] = {
    'libxl': {(None, 0): {0: (('LIBXL-LIBXC-ONCE', 0, 2, 0), ('CKPT-CKPT-REC', 2147483648, 0, 0)), 1: (('LIBXL-LIBXC-ONCE', 2, 0, 0),), 2: (('LIBXL-LIBXC-BEFORE-EMU', 0, 2, 0),), 3: (('LIBXL-LIBXC-BEFORE-EMU', 0, 2, 0),), 4: (('LIBXL-CKPTEND-CTX', 0, 2147483648, 0),), 5: (('LIBXL-CKPTSTATE-CTX', 0, 1073741824, 0),)}, ('pv', 0): {0: (('LIBXL-LIBXC-ONCE', 0, 2, 0), ('CKPT-CKPT-REC', 2147483648, 0, 0)), 1: (('LIBXL-LIBXC-ONCE', 2, 0, 0),), 2: (('LIBXL-LIBXC-BEFORE-EMU', 0, 2, 0), ('LIBXL-EMU-HVM-ONLY', 0, 0, 0)), 3: (('LIBXL-LIBXC-BEFORE-EMU', 0, 2, 0), ('LIBXL-EMU-HVM-ONLY', 0, 0, 0)), 4: (('LIBXL-CKPTEND-CTX', 0, 2147483648, 0),), 5: (('COLO-HVM', 0, 0, 0), ('LIBXL-CKPTSTATE-CTX', 0, 1073741824, 0))}, ('hvm', 0): {0: (('LIBXL-LIBXC-ONCE', 0, 2, 0), ('CKPT-CKPT-REC', 2147483648, 0, 0)), 1: (('LIBXL-LIBXC-ONCE', 2, 0, 0),), 2: (('LIBXL-LIBXC-BEFORE-EMU', 0, 2, 0),), 3: (('LIBXL-LIBXC-BEFORE-EMU', 0, 2, 0), ('LIBXL-EMU-CTX', 8, 0, 0)), 4: (('LIBXL-CKPTEND-CTX', 0, 2147483648, 0),), 5: (('LIBXL-CKPTSTATE-CTX', 0, 1073741824, 0),)}},
    'libxc': {(None, 2): {0: (('LIBXC-TSC-PRESENT', 0, 256, 536870912),), 2: (('CKPT-STATIC-ONCE', 16384, 0, 0),), 3: (('CKPT-STATIC-ONCE', 16384, 0, 0),), 13: (('LIBXC-VERIFY-1', 16384, 0, 0),), 14: (('LIBXC-VERIFY-1', 8192, 0, 0), ('LIBXC-TSC-PRESENT', 0, 256, 0)), 16: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-V2', 0, 0, 16384)), 17: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-V2', 0, 0, 16384)), 18: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-V2', 0, 0, 16384))}, (None, 3): {0: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-TSC-PRESENT', 0, 256, 536870912)), 1: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 2: (('CKPT-STATIC-ONCE', 16384, 0, 0),), 3: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-PRESENT', 0, 65536, 16384)), 4: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 5: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 6: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 7: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 8: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 9: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 10: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 12: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 13: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-VERIFY-1', 16384, 0, 0)), 14: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-VERIFY-1', 8192, 0, 0), ('LIBXC-TSC-PRESENT', 0, 256, 0)), 16: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-ONCE', 65536, 0, 16384), ('LIBXC-POLICY-PRESENT', 0, 131072, 0), ('LIBXC-POLICY-PRESENT', 0, 262144, 0)), 17: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-ORDER', 65536, 0, 16384)), 18: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-ORDER', 65536, 0, 16384))}, ('pv', 2): {0: (('LIBXC-P2M-BEFORE-PAGES', 0, 8, 536870912), ('LIBXC-TSC-PRESENT', 0, 256, 536870912), ('LIBXC-SHINFO-PRESENT', 0, 128, 536870912)), 1: (('LIBXC-PVINFO-FIRST', 0, 4, 0), ('LIBXC-P2M-BEFORE-PAGES', 0, 8, 536870912)), 2: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-PVINFO-ONCE', 4, 0, 16384)), 3: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-PVINFO-FIRST', 0, 4, 0), ('LIBXC-P2M-REPEAT', 8, 0, 16384)), 4: (('LIBXC-PVINFO-FIRST', 0, 4, 0),), 5: (('LIBXC-PVINFO-FIRST', 0, 4, 0),), 6: (('LIBXC-PVINFO-FIRST', 0, 4, 0),), 7: (('LIBXC-PVINFO-FIRST', 0, 4, 0),), 12: (('LIBXC-PVINFO-FIRST', 0, 4, 0),), 13: (('LIBXC-VERIFY-1', 16384, 0, 0),), 14: (('LIBXC-P2M-BEFORE-PAGES', 0, 8, 536870912), ('LIBXC-VERIFY-1', 8192, 0, 0), ('LIBXC-TSC-PRESENT', 0, 256, 0), ('LIBXC-SHINFO-PRESENT', 0, 128, 0)), 16: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-V2', 0, 0, 16384)), 17: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-V2', 0, 0, 16384)), 18: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-V2', 0, 0, 16384))}, ('pv', 3): {0: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-P2M-BEFORE-PAGES', 0, 8, 536870912), ('LIBXC-TSC-PRESENT', 0, 256, 536870912), ('LIBXC-SHINFO-PRESENT', 0, 128, 536870912)), 1: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-PVINFO-FIRST', 0, 4, 0), ('LIBXC-P2M-BEFORE-PAGES', 0, 8, 536870912)), 2: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-PVINFO-ONCE', 4, 0, 16384), ('LIBXC-PVINFO-FIRST', 65536, 0, 16384)), 3: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-PVINFO-FIRST', 0, 4, 0), ('LIBXC-P2M-REPEAT', 8, 0, 16384)), 4: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-PVINFO-FIRST', 0, 4, 0)), 5: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-PVINFO-FIRST', 0, 4, 0)), 6: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-PVINFO-FIRST', 0, 4, 0)), 7: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-PVINFO-FIRST', 0, 4, 0)), 8: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 9: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 10: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 12: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-PVINFO-FIRST', 0, 4, 0)), 13: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-VERIFY-1', 16384, 0, 0)), 14: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-P2M-BEFORE-PAGES', 0, 8, 536870912), ('LIBXC-VERIFY-1', 8192, 0, 0), ('LIBXC-TSC-PRESENT', 0, 256, 0), ('LIBXC-SHINFO-PRESENT', 0, 128, 0)), 16: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-ONCE', 65536, 0, 16384), ('LIBXC-POLICY-PRESENT', 0, 131072, 0), ('LIBXC-POLICY-PRESENT', 0, 262144, 0)), 17: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-ORDER', 65536, 0, 16384)), 18: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-ORDER', 65536, 0, 16384))}, ('hvm', 2): {0: (('LIBXC-PAGE-PRESENT', 0, 2, 536870912), ('LIBXC-TSC-PRESENT', 0, 256, 536870912), ('LIBXC-HVMCTX-PRESENT', 0, 512, 536870912), ('LIBXC-HVMPARAMS-PRESENT', 0, 1024, 536870912)), 2: (('CKPT-STATIC-ONCE', 16384, 0, 0),), 3: (('CKPT-STATIC-ONCE', 16384, 0, 0),), 10: (('LIBXC-HVMPARAMS-ORDER', 512, 0, 0),), 13: (('LIBXC-VERIFY-1', 16384, 0, 0),), 14: (('LIBXC-VERIFY-1', 8192, 0, 0), ('LIBXC-PAGE-PRESENT', 0, 2, 536870912), ('LIBXC-TSC-PRESENT', 0, 256, 0), ('LIBXC-HVMCTX-PRESENT', 0, 512, 0), ('LIBXC-HVMPARAMS-PRESENT', 0, 1024, 0)), 16: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-V2', 0, 0, 16384)), 17: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-V2', 0, 0, 16384)), 18: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-V2', 0, 0, 16384))}, ('hvm', 3): {0: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-PAGE-PRESENT', 0, 2, 536870912), ('LIBXC-TSC-PRESENT', 0, 256, 536870912), ('LIBXC-HVMCTX-PRESENT', 0, 512, 536870912), ('LIBXC-HVMPARAMS-PRESENT', 0, 1024, 536870912)), 1: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 2: (('CKPT-STATIC-ONCE', 16384, 0, 0),), 3: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-PRESENT', 0, 65536, 16384)), 4: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 5: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 6: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 7: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 8: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 9: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 10: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-HVMPARAMS-ORDER', 512, 0, 0)), 12: (('LIBXC-SDE-PRESENT', 0, 65536, 16384),), 13: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-VERIFY-1', 16384, 0, 0)), 14: (('LIBXC-SDE-PRESENT', 0, 65536, 16384), ('LIBXC-VERIFY-1', 8192, 0, 0), ('LIBXC-PAGE-PRESENT', 0, 2, 536870912), ('LIBXC-TSC-PRESENT', 0, 256, 0), ('LIBXC-HVMCTX-PRESENT', 0, 512, 0), ('LIBXC-HVMPARAMS-PRESENT', 0, 1024, 0)), 16: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-SDE-ONCE', 65536, 0, 16384), ('LIBXC-POLICY-PRESENT', 0, 131072, 0), ('LIBXC-POLICY-PRESENT', 0, 262144, 0)), 17: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-ORDER', 65536, 0, 16384)), 18: (('CKPT-STATIC-ONCE', 16384, 0, 0), ('LIBXC-POLICY-ORDER', 65536, 0, 16384))}},
    'legacy-64': (_same := {(None, 0): {-13: (('LEGACY-ONCE', 8192, 0, 0),), -12: (('LEGACY-COMPRESSED-ON', 0, 8192, 0),), -7: (('LEGACY-ONCE', 256, 0, 0),), -6: (('LEGACY-ONCE', 8388608, 0, 0), ('LEGACY-TMEM-EXTRA', 0, 4194304, 0)), -5: (('LEGACY-ONCE', 4194304, 0, 0), ('LEGACY-TMEM-FIRST', 4, 0, 0)), -1: (('LEGACY-ONCE', 16, 0, 0),), 0: (('LEGACY-PAGES', 0, 4, 0), ('LEGACY-VCPU-INFO', 0, 32, 0))}, ('pv', 0): {-20: (('LEGACY-HVM-ONLY', 0, 0, 0),), -19: (('LEGACY-HVM-ONLY', 0, 0, 0),), -17: (('LEGACY-HVM-ONLY', 0, 0, 0),), -16: (('LEGACY-HVM-ONLY', 0, 0, 0),), -15: (('LEGACY-HVM-ONLY', 0, 0, 0),), -14: (('LEGACY-HVM-ONLY', 0, 0, 0),), -13: (('LEGACY-ONCE', 8192, 0, 0),), -12: (('LEGACY-COMPRESSED-ON', 0, 8192, 0),), -11: (('LEGACY-HVM-ONLY', 0, 0, 0),), -10: (('LEGACY-HVM-ONLY', 0, 0, 0),), -8: (('LEGACY-HVM-ONLY', 0, 0, 0),), -7: (('LEGACY-ONCE', 256, 0, 0),), -6: (('LEGACY-ONCE', 8388608, 0, 0), ('LEGACY-TMEM-EXTRA', 0, 4194304, 0)), -5: (('LEGACY-ONCE', 4194304, 0, 0), ('LEGACY-TMEM-FIRST', 4, 0, 0)), -4: (('LEGACY-HVM-ONLY', 0, 0, 0),), -3: (('LEGACY-HVM-ONLY', 0, 0, 0),), -1: (('LEGACY-ONCE', 16, 0, 0),), 0: (('LEGACY-PAGES', 0, 4, 0), ('LEGACY-VCPU-INFO', 0, 32, 0))}, ('hvm', 0): {-13: (('LEGACY-ONCE', 8192, 0, 0),), -12: (('LEGACY-COMPRESSED-ON', 0, 8192, 0),), -7: (('LEGACY-ONCE', 256, 0, 0),), -6: (('LEGACY-ONCE', 8388608, 0, 0), ('LEGACY-TMEM-EXTRA', 0, 4194304, 0)), -5: (('LEGACY-ONCE', 4194304, 0, 0), ('LEGACY-TMEM-FIRST', 4, 0, 0)), -1: (('LEGACY-ONCE', 16, 0, 0),), 0: (('LEGACY-PAGES', 0, 4, 0), ('LEGACY-VCPU-INFO', 0, 32, 0))}}), 'legacy-32': _same,
    'back-channel': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
    'xl': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
    'xl-migrate': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
    'libvirt': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
    'xapi': {(None, 0): {15: (('XAPI-XENOPS-FIRST', 1, 0, 0),), 240: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-MEMORY-ONCE', 10, 0, 0), ('XAPI-ORDER', 912, 0, 0)), 242: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-MEMORY-ONCE', 10, 0, 0), ('XAPI-ORDER', 912, 0, 0)), 3840: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ONCE', 16, 0, 0)), 3856: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 912, 0, 0)), 3857: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 784, 0, 0), ('XAPI-ONCE', 128, 0, 0)), 3858: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 16, 0, 0), ('XAPI-ORDER', 0, 128, 0)), 3859: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 16, 0, 0), ('XAPI-ORDER', 0, 128, 0))}, ('pv', 0): {15: (('XAPI-XENOPS-FIRST', 1, 0, 0),), 240: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-MEMORY-ONCE', 10, 0, 0), ('XAPI-ORDER', 912, 0, 0)), 242: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-MEMORY-ONCE', 10, 0, 0), ('XAPI-ORDER', 912, 0, 0)), 3840: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ONCE', 16, 0, 0), ('XAPI-HVM-ONLY', 0, 0, 0)), 3856: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 912, 0, 0)), 3857: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 784, 0, 0), ('XAPI-ONCE', 128, 0, 0), ('XAPI-HVM-ONLY', 0, 0, 0)), 3858: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 16, 0, 0), ('XAPI-ORDER', 0, 128, 0), ('XAPI-HVM-ONLY', 0, 0, 0)), 3859: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 16, 0, 0), ('XAPI-ORDER', 0, 128, 0), ('XAPI-HVM-ONLY', 0, 0, 0))}, ('hvm', 0): {15: (('XAPI-XENOPS-FIRST', 1, 0, 0),), 240: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-MEMORY-ONCE', 10, 0, 0), ('XAPI-ORDER', 912, 0, 0)), 242: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-MEMORY-ONCE', 10, 0, 0), ('XAPI-ORDER', 912, 0, 0)), 3840: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ONCE', 16, 0, 0)), 3856: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 912, 0, 0)), 3857: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 784, 0, 0), ('XAPI-ONCE', 128, 0, 0)), 3858: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 16, 0, 0), ('XAPI-ORDER', 0, 128, 0)), 3859: (('XAPI-XENOPS-FIRST', 0, 1, 0), ('XAPI-ORDER', 16, 0, 0), ('XAPI-ORDER', 0, 128, 0))}},
    'xapi-legacy': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
    'xend': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
    'qemu': {(None, 0): {7: (('QEMU-CFG-ONCE', 414, 0, 0),)}, ('pv', 0): {7: (('QEMU-CFG-ONCE', 414, 0, 0),)}, ('hvm', 0): {7: (('QEMU-CFG-ONCE', 414, 0, 0),)}},
    'qemu-multifd': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
    'text': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
    'http': {(None, 0): {}, ('pv', 0): {}, ('hvm', 0): {}},
}
OWED = {'libxc': {None: 256, 'pv': 400, 'hvm': 1792}, 'libxl': {None: 2, 'pv': 2, 'hvm': 2}}
LIBXC_TAIL = 6128
LIBXC_VCPU = frozenset([4, 5, 6, 12])
LIBXL_TAIL = 12
RECORD_LENGTH_MAX = 134217728
BATCH_MAX = 1024
PAGE_SIZE = 4096
PAGE_SHIFT = 12
PFN_MAX = 1099511627775
PAGE_TYPES = {
    0: 'NOTAB',
    1: 'L1TAB',
    2: 'L2TAB',
    3: 'L3TAB',
    4: 'L4TAB',
    9: 'L1TAB_PINNED',
    10: 'L2TAB_PINNED',
    11: 'L3TAB_PINNED',
    12: 'L4TAB_PINNED',
    13: 'BROKEN',
    14: 'XALLOC',
    15: 'XTAB',
}
PAGE_TYPES_DATA = frozenset([0, 1, 2, 3, 4, 9, 10, 11, 12])
PAGE_TYPES_PINNED = frozenset([9, 10, 11, 12])
PAGE_TYPES_TABLE = frozenset([1, 2, 3, 4, 9, 10, 11, 12])
ENTRY_TYPE_SHIFT = 60
ENTRY_PFN_MASK = 4503599627370495
ENTRY_RESERVED_MASK = 1148417904979476480
PAGE_TYPE_PLAIN = 0
ENTRY_TOP_BARE = b'\xd0\xe0\xf0'
ENTRY_TOP_CLEAN = b'\x00\x10 0@\x90\xa0\xb0\xc0\xd0\xe0\xf0'
ENTRY_NEXT_CLEAN = b'\x00'
ENTRY_THIRD_CLEAN = b'\x00'
RUN_DATA = (
    b'\x01\x00\x00\x00\x10\x10\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00',
    ((21, b'\x00'), (22, b'\x00'), (23, b'\x00\x10 0@\x90\xa0\xb0\xc0')),
)
RUN_DATA_SIZE = 4120
RUN_BARE = (
    b'\x01\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00',
    ((21, b'\x00'), (22, b'\x00'), (23, b'\xd0\xe0\xf0')),
)
RUN_BARE_SIZE = 24
PTE_PFN = (12, 1099511627775)
PTE_PRESENT = 1
PV_COMBINATIONS = ((4, 3), (8, 4))
VCPU_CONTEXT_SIZES = {4: 2800, 8: 5168}
VCPU_CONTEXT_FLAGS = {4: 512, 8: 512}
VCPU_CONTEXT_CR1 = {8: 4992}
VCPU_CONTEXT_CR3 = {4: 2728, 8: 5008}
VCPU_CONTEXT_DX = {4: 524, 8: 616}
VCPU_CONTEXT_GDT_FRAMES = {4: 2640, 8: 4832}
VCPU_CONTEXT_GDT_ENTS = {4: 2704, 8: 4960}
VCPU_CONTEXT_EFLAGS = {4: 556}
VCPU_CONTEXT_R12_R15 = {8: (520, 32)}
VCPU_CONTEXT_R8_R11 = {8: (568, 32)}
GDT_FRAME_ENTRIES = 512
GDT_ENTRIES_MAX = 7168
EFLAGS_VM = 131072
XEN_WITHOUT_R8 = (4, 21)
TABLE_LEVELS = {1: 1, 2: 2, 3: 3, 4: 4, 9: 1, 10: 2, 11: 3, 12: 4}
HVM_TYPES = {
    0: ('END', (0,), 0, False),
    1: ('HEADER', (24,), 0, False),
    2: ('CPU', (1016, 1024, 1032), 0, False),
    3: ('PIC', (8,), 0, False),
    4: ('IOAPIC', (400,), 0, False),
    5: ('LAPIC', (16, 24, 32), 0, False),
    6: ('LAPIC_REGS', (1024,), 0, False),
    7: ('PCI_IRQ', (16,), 0, False),
    8: ('ISA_IRQ', (8,), 0, False),
    9: ('PCI_LINK', (8,), 0, False),
    10: ('PIT', (56,), 0, False),
    11: ('RTC', (16, 24), 0, False),
    12: ('HPET', (1048,), 0, False),
    13: ('PMTIMER', (8,), 0, False),
    14: ('MTRR', (240,), 0, False),
    15: ('VIRIDIAN_DOMAIN', (16, 24, 32), 0, False),
    16: ('CPU_XSAVE', (600,), 1, False),
    17: ('VIRIDIAN_VCPU', (8, 16, 216), 0, False),
    18: ('VMCE_VCPU', (8, 24, 32), 0, False),
    19: ('TSC_ADJUST', (8,), 0, False),
    20: ('CPU_MSR', (24,), 16, True),
}
HVM_HEADER = 1
HVM_END = 0
HVM_CPU = 2
HVM_BEGINS = b'\x86\x128T\x01\x00\x00\x00'
HVM_PARAMS_END = 39
HVM_PARAM_PAE = 4
HVM_PARAM_VIRIDIAN = 9
CHECKPOINT_STATES = {0: 'NEW', 1: 'SVM_SUSPENDED', 2: 'SVM_READY', 3: 'SVM_RESUMED'}
MACHINE_STARTS = {
    'image': {'auto': 'records', 'plain': 'records', 'remus': 'records', 'colo': 'records'},
    'checkpoints': {'auto': 'beginning', 'plain': 'beginning', 'remus': 'beginning', 'colo': 'beginning'},
    'COLO': {'auto': 'undecided', 'plain': 'undecided', 'remus': 'remus', 'colo': 'colo'},
    'back channel': {'auto': 'anywhere', 'plain': 'anywhere', 'remus': 'anywhere', 'colo': 'anywhere'},
}
MACHINE_TURNS = {
    'image': {'records': 'libxc', 'between': 'libxc', 'ended': ''},
    'checkpoints': {'beginning': 'libxl', 'image': 'libxc', 'tail': 'libxl', 'between': 'either', 'announced': 'either', 'closing': 'libxl', 'ended': ''},
}
MACHINE_ROWS: dict[str, dict[str, dict[str, str | None]]] = {
    'image': {'records': {'libxc.*': 'records', 'libxc.CHECKPOINT': 'between', 'libxc.END': 'ended'}, 'between': {'libxc.*': 'records', 'libxc.CHECKPOINT': 'between', 'libxc.END': 'ended'}, 'ended': {'libxc.*': None, 'libxc.CHECKPOINT': None, 'libxc.END': None}},
    'checkpoints': {'beginning': {'libxl.LIBXC_CONTEXT': 'image', 'libxc.*': None, 'libxc.CHECKPOINT': None, 'libxc.END': None, 'libxl.EMULATOR_XENSTORE_DATA': None, 'libxl.EMULATOR_CONTEXT': None, 'libxl.CHECKPOINT_END': None, 'libxl.CHECKPOINT_STATE': None, 'libxl.END': None}, 'image': {'libxl.LIBXC_CONTEXT': None, 'libxc.*': 'image', 'libxc.CHECKPOINT': 'tail', 'libxc.END': 'closing', 'libxl.EMULATOR_XENSTORE_DATA': None, 'libxl.EMULATOR_CONTEXT': None, 'libxl.CHECKPOINT_END': None, 'libxl.CHECKPOINT_STATE': None, 'libxl.END': None}, 'tail': {'libxl.LIBXC_CONTEXT': None, 'libxc.*': None, 'libxc.CHECKPOINT': None, 'libxc.END': None, 'libxl.EMULATOR_XENSTORE_DATA': 'tail', 'libxl.EMULATOR_CONTEXT': 'tail', 'libxl.CHECKPOINT_END': 'between', 'libxl.CHECKPOINT_STATE': None, 'libxl.END': None}, 'between': {'libxl.LIBXC_CONTEXT': None, 'libxc.*': 'image', 'libxc.CHECKPOINT': 'tail', 'libxc.END': 'closing', 'libxl.EMULATOR_XENSTORE_DATA': None, 'libxl.EMULATOR_CONTEXT': None, 'libxl.CHECKPOINT_END': None, 'libxl.CHECKPOINT_STATE': 'announced', 'libxl.END': None}, 'announced': {'libxl.LIBXC_CONTEXT': None, 'libxc.*': 'image', 'libxc.CHECKPOINT': 'tail', 'libxc.END': 'closing', 'libxl.EMULATOR_XENSTORE_DATA': None, 'libxl.EMULATOR_CONTEXT': None, 'libxl.CHECKPOINT_END': None, 'libxl.CHECKPOINT_STATE': None, 'libxl.END': None}, 'closing': {'libxl.LIBXC_CONTEXT': None, 'libxc.*': None, 'libxc.CHECKPOINT': None, 'libxc.END': None, 'libxl.EMULATOR_XENSTORE_DATA': 'closing', 'libxl.EMULATOR_CONTEXT': 'closing', 'libxl.CHECKPOINT_END': None, 'libxl.CHECKPOINT_STATE': None, 'libxl.END': 'ended'}, 'ended': {'libxl.LIBXC_CONTEXT': None, 'libxc.*': None, 'libxc.CHECKPOINT': None, 'libxc.END': None, 'libxl.EMULATOR_XENSTORE_DATA': None, 'libxl.EMULATOR_CONTEXT': None, 'libxl.CHECKPOINT_END': None, 'libxl.CHECKPOINT_STATE': None, 'libxl.END': None}},
    'COLO': {'undecided': {'libxc.*': 'undecided', 'libxc.END': 'undecided', 'libxl.CHECKPOINT_END': 'first', 'libxl.CHECKPOINT_STATE': None}, 'first': {'libxc.*': 'remus', 'libxc.END': 'undecided', 'libxl.CHECKPOINT_END': None, 'libxl.CHECKPOINT_STATE': 'colo'}, 'remus': {'libxc.*': 'remus', 'libxc.END': 'remus', 'libxl.CHECKPOINT_END': 'remus', 'libxl.CHECKPOINT_STATE': None}, 'colo': {'libxc.*': 'colo', 'libxc.END': 'colo', 'libxl.CHECKPOINT_END': 'due', 'libxl.CHECKPOINT_STATE': None}, 'due': {'libxc.*': None, 'libxc.END': 'colo', 'libxl.CHECKPOINT_END': None, 'libxl.CHECKPOINT_STATE': 'colo'}},
    'back channel': {'anywhere': {'libxl.CHECKPOINT_STATE SVM_READY': 'ready', 'libxl.CHECKPOINT_STATE SVM_RESUMED': 'resumed', 'libxl.CHECKPOINT_STATE SVM_SUSPENDED': 'suspended', 'libxc.CHECKPOINT_DIRTY_PFN_LIST': 'listed', 'libxl.CHECKPOINT_STATE NEW': None, 'libxl.*': None, 'libxc.*': None}, 'ready': {'libxl.CHECKPOINT_STATE SVM_READY': None, 'libxl.CHECKPOINT_STATE SVM_RESUMED': 'resumed', 'libxl.CHECKPOINT_STATE SVM_SUSPENDED': None, 'libxc.CHECKPOINT_DIRTY_PFN_LIST': None, 'libxl.CHECKPOINT_STATE NEW': None, 'libxl.*': None, 'libxc.*': None}, 'resumed': {'libxl.CHECKPOINT_STATE SVM_READY': None, 'libxl.CHECKPOINT_STATE SVM_RESUMED': None, 'libxl.CHECKPOINT_STATE SVM_SUSPENDED': 'suspended', 'libxc.CHECKPOINT_DIRTY_PFN_LIST': None, 'libxl.CHECKPOINT_STATE NEW': None, 'libxl.*': None, 'libxc.*': None}, 'suspended': {'libxl.CHECKPOINT_STATE SVM_READY': None, 'libxl.CHECKPOINT_STATE SVM_RESUMED': None, 'libxl.CHECKPOINT_STATE SVM_SUSPENDED': None, 'libxc.CHECKPOINT_DIRTY_PFN_LIST': 'listed', 'libxl.CHECKPOINT_STATE NEW': None, 'libxl.*': None, 'libxc.*': None}, 'listed': {'libxl.CHECKPOINT_STATE SVM_READY': 'ready', 'libxl.CHECKPOINT_STATE SVM_RESUMED': None, 'libxl.CHECKPOINT_STATE SVM_SUSPENDED': None, 'libxc.CHECKPOINT_DIRTY_PFN_LIST': None, 'libxl.CHECKPOINT_STATE NEW': None, 'libxl.*': None, 'libxc.*': None}},
}
EMULATOR_IDS = {'UNKNOWN': 0, 'QEMU_TRADITIONAL': 1, 'QEMU_UPSTREAM': 2}
QEMU_MAGIC = b'QEVM'
QEMU_EMPTY = b'QEVM\x00\x00\x00\x03\x00'
QEMU_RECORD_MIN = 9
QEMU_PIECES = ('legacy-64.QEMU_STATE', 'legacy-32.QEMU_STATE')
QEMU_HOLDERS = (
    'libxl.EMULATOR_CONTEXT',
    'xapi.QEMU_TRAD',
    'xapi.QEMU_XEN',
    'legacy-64.QEMU_0002',
    'legacy-64.QEMU_REMUS',
    'legacy-64.QEMU_XAPI',
    'legacy-32.QEMU_0002',
    'legacy-32.QEMU_REMUS',
    'legacy-32.QEMU_XAPI',
)
PAIR_STRINGS = 2
XENSTORE_KEY = b'-/0123456789@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz'
XENSTORE_VALUE = b' !"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~'
XENSTORE_ROOT_MIN = 31
DRAFT_VERSION = 1
XENSTORE_PATH_MAX = 3072
XENSTORE_PAYLOAD_MAX = 4096
DRAFT_WIDTHS = (32, 64)
XL_FLAGS = {'stream_v2': 2, 'json': 1}
XL_BYTE_ORDER = 16909060
DOMID_FIRST_RESERVED = 32752
LIBVIRT_VERSION_LEGACY = 1
LIBVIRT_VERSION_V2 = 2
XAPI_SIZED = frozenset([15, 3840, 3841, 3857, 3858, 3859])
XAPI_VERSION = 2
XAPI_LENGTH_MAX = 4611686018427387903
XL_MIGRATE_OWN_FAILURE = 255
XENOPS_KEYS = {'time': 'atom', 'word_size': 'integer', 'vm_str': 'atom', 'xs_subtree': 'pairs'}
XENOPS_REQUIRED = ('time', 'word_size')
XENOPS_WORD_SIZES = (32, 64)
MAGICS = (
    ('libxl', 'stream', 0, b'LibxlFmt', 'libxl stream'),
    ('libxc', 'stream', 0, b'\xff\xff\xff\xff\xff\xff\xff\xffXENF', 'libxc image'),
    ('xl', 'container', 0, b'Xen saved domain, xl format\n \x00 \r', 'xl save file'),
    ('xl-migrate', 'container', 0, b'xl migration receiver ready, send binary domain data.\n', 'capture of xl migrate'),
    ('libvirt', 'container', 0, b'libvirt-xml\n \x00 \r', 'libvirt save file'),
    ('xapi', 'container', 0, b'XenSavedDomv2-\n', 'XAPI suspend image'),
    ('xapi-legacy', 'container', 0, b'XenSavedDomain\n', 'XAPI legacy suspend image'),
    ('xend', 'container', 0, b'LinuxGuestRecord', 'xend save file (xm save, Xen 3.0 to 4.4)'),
    ('qemu', 'stream', 0, b'QEVM', 'QEMU stream'),
    ('qemu-multifd', 'stream', 0, b'\x11"3D\x00\x00\x00\x01', 'channel of a QEMU migration with multifd'),
    ('back-channel', 'stream', 0, b'\x05\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00', 'COLO back channel'),
    ('xapi-http', 'container', 0, b'PUT /services/xenops/', "request of XAPI's migration to the receiving xenopsd, without an image that could be read"),
    ('xapi-vgpu', 'payload', 0, b'\x10\x0f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00', 'state of a virtual GPU (Demu), which XAPI sends beside the image, and which has no signature'),
    ('gzip', 'compressed', 0, b'\x1f\x8b', 'gzip data'),
    ('xz', 'compressed', 0, b'\xfd7zXZ\x00', 'xz data'),
    ('zstd', 'compressed', 0, b'(\xb5/\xfd', 'zstd data'),
    ('hvm-context', 'payload', 0, b'\x01\x00\x00\x00\x18\x00\x00\x00\x86\x128T', 'HVM context, what the libxc record HVM_CONTEXT carries'),
    ('qemu-tail', 'payload', 0, b'QemuDeviceModelRecord', 'QEMU record of a legacy stream, without that stream'),
    ('qemu-tail', 'payload', 0, b'DeviceModelRecord0002', 'QEMU record of a legacy stream, without that stream'),
    ('qemu-tail', 'payload', 0, b'RemusDeviceModelState', 'QEMU record of a legacy checkpoint, without its stream'),
)
NAMESAKES = (
    ('libvirt', 'cloud-hypervisor', 'foreign', b'(?s:.{16}(?![\\0-\\3]\\0\\0\\0).{4}\\0{44}<)', "save file of libvirt's cloud-hypervisor driver, which holds no Xen stream", 'then a length where the Xen driver has a version', 65),
    ('xend', 'xend-2', 'container', b'(?s:LinuxGuestRecord(?!\\0{4}).{2}[\\0-\\x10]\\0(?!\\())', 'save file of Xen 2.0 (xm save)', 'then a number of pages and no configuration', 21),
)
LEGACY_WORDS = (4, 8)
LEGACY_TYPE_SHIFT = 28
LEGACY_PFN_MASK = 268435455
LEGACY_P2M_MAX = 268435455
LEGACY_LISTED_MAX = {4: 16777216, 8: 268435455}
LEGACY_BATCH_MAX = 1024
LEGACY_XTAB = 15
LEGACY_NO_DATA = frozenset([13, 14, 15])
LEGACY_VCPU_TAG = b'vcpu'
LEGACY_LENGTH_SIZE = 4
LEGACY_BLOCK_HEADER = 8
LEGACY_EXTINFO_MAX = 65536
LEGACY_VCPU_WIDTHS = {2800: 32, 5168: 64}
LEGACY_PERMUTE_BITS = 10
LEGACY_VERIFY = -1
LEGACY_VCPUS = -2
LEGACY_TSC = -7
LEGACY_MARKS = (-1, -9, -13)
LEGACY_PARAMS = (-3, -4, -8, -10, -11, -14, -15, -16, -17, -19, -20)
LEGACY_PARAM_FORMAT = '<4sQ'
LEGACY_TSC_FORMAT = '<IQII'
LEGACY_TMEM_FORMAT = '<II4s'
LEGACY_OPENING = {-5: 'tmem', -7: 'TSC info'}
LEGACY_VCPU_ID_MAX = 4095
LEGACY_TMEM_VERSION_MAX = 1
LEGACY_TSC_MODE_MAX = 3
LEGACY_TSC_KHZ_MIN = 10000
LEGACY_EXTV_TAG = b'extv'
LEGACY_XCNT_TAG = b'xcnt'
LEGACY_TYPES = {
    'pv': frozenset({0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15}),
    'hvm': frozenset({0, 8, 13, 14, 15}),
}
LEGACY_CHUNK_IDS = frozenset([-20, -19, -18, -17, -16, -15, -14, -13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1])
LEGACY_AGAIN = frozenset([-20, -19, -18, -17, -16, -15, -14, -12, -11, -10, -9, -8, -4, -3, -2])
LEGACY_SINCE_LAST = frozenset([-20, -19, -18, -17, -16, -15, -14, -13, -12, -11, -10, -9, -8])
LEGACY_LENGTH_MAX = 134217728
LEGACY_UNMAPPED_MAX = 268435456
LEGACY_XSAVE_MAX = 1048576
LEGACY_QEMU_PIECE = 65536
LEGACY_SIGNATURES = (
    (4148, b'QemuDeviceModelRecord\n', 4, 'big'),
    (4144, b'QemuDeviceModelRecord', 0, 'little'),
    (4146, b'DeviceModelRecord0002', 4, 'little'),
    (4147, b'RemusDeviceModelState', 4, 'little'),
)
LEGACY_IOREQ_PAIR = (-19, -20)
LEGACY_PAGEDTAB = 8
LEGACY_OID_SIZES = {0: 8, 1: 24}
LEGACY_ALL_ONES = 4294967295
LEGACY_HVM_CONTEXT_AT = 28
LEGACY_HVM_BEGINS = b'\x01\x00\x00\x00\x18\x00\x00\x00\x86\x128T'
LEGACY_PARAM_INDEX = {-3: 12, -4: 15, -8: 17, -10: 19, -11: 9, -14: 34, -15: 27, -16: 28, -17: 29, -19: 32, -20: 33}
LEGACY_TAIL_PARAMS = (5, 6, 1)
LEGACY_ACPI_IOPORTS = 19
LEGACY_ACPI_IOPORTS_SET = 1
LEGACY_IOREQ_PARAMS = (32, 33)
LEGACY_VCPU_ONLINE = 32
LEGACY_TOOLSTACK_VERSION = 1
TEXT = b'\t\n\r\x1b !"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98\x99\x9a\x9b\x9c\x9d\x9e\x9f\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xbb\xbc\xbd\xbe\xbf\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xcb\xcc\xcd\xce\xcf\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xdb\xdc\xdd\xde\xdf\xe0\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xeb\xec\xed\xee\xef\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff'
HEAD_LINE = b'\t !"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~'
REPLY = b'\x00\x00'
PREFACES = (
    ('http', b'PUT /services/xenops/(?:migrate/mem|memory)/[!-~]+ HTTP/1\\.[01]\\r\\n', ('xapi',), 'HTTP request head'),
    ('text', b'', (), 'text'),
)
TRAILERS = (
    (b'domain is yours, you are cleared to unpause\x00', True, "xl's go-ahead message, so this is a capture of xl migrate"),
    (b'domain received, ready to unpause\x00', False, "the messages of xl migrate, so this is a capture of both directions without the receiver's greeting"),
    (b'conectix', False, 'zeros and the footer of a fixed VHD, which holds the stream'),
    (b'QemuDeviceModelRecord', False, 'the QEMU record that the legacy converter leaves after a libxc image'),
    (b'DeviceModelRecord0002', False, 'the QEMU record that the legacy converter leaves after a libxc image'),
    (b'RemusDeviceModelState', False, 'the QEMU record that the legacy converter leaves after a libxc image'),
)
LIBXL_OPTIONS = {'legacy': 2, 'endian': 1}
LIBXC_OPTIONS = {'endian': 1}
QEMU_PAGE_SIZE = 4096
QEMU_PAGE_BITS = 12
QEMU_RAM_NAME = b'ram'
QEMU_RAM_VERSION = 4
QEMU_ENCODING = 1
QEMU_CONFIGURATIONS = {
    b'configuration/target-page-bits': 4,
    b'configuration/capabilities': None,
    b'configuration/uuid': 16,
}
QEMU_BITS = b'configuration/target-page-bits'
QEMU_UUID = b'configuration/uuid'
QEMU_IGNORE_SHARED = b'x-ignore-shared'
QEMU_MAPPED_RAM = b'mapped-ram'
QEMU_KNOWN_CAPABILITIES = (b'x-ignore-shared', b'mapped-ram')
QEMU_BLOCKS_MAX = 4096
QEMU_SECTIONS_MAX = 65536
QEMU_PIECE = 65536
QEMU_PAGES_MOST = 15
QEMU_WORDS_MOST = 4096
QEMU_FLAG_ZERO = 2
QEMU_FLAG_TOTAL = 4
QEMU_FLAG_PAGE = 8
QEMU_FLAG_EOS = 16
QEMU_FLAG_CONTINUE = 32
QEMU_FLAG_XBZRLE = 64
QEMU_FLAG_HOOK = 128
QEMU_FLAG_COMPRESSED = 256
QEMU_FLAG_FLUSH = 512
QEMU_OPEN_RETURN_PATH = 1
QEMU_PING = 2
QEMU_PACKAGED = 7
QEMU_RECV_BITMAP = 10
QEMU_SWITCHOVER_START = 11
QEMU_POSTCOPY_ADVISE = 3
QEMU_POSTCOPY_RAM_DISCARD = 6
QEMU_POSTCOPY_LISTEN = 4
QEMU_POSTCOPY_RUN = 5
QEMU_LOW_MEMORY = (
    (b'pc-i440fx-', (2, 0), 3758096384, 3221225472),
    (b'pc-i440fx-', (0, 0), 3758096384, 3758096384),
    (b'pc-q35-', (2, 0), 2952790016, 2147483648),
    (b'pc-q35-', (0, 0), 2952790016, 2952790016),
    (b'pc-', (0, 0), 3758096384, 3758096384),
    (b'isapc', (0, 0), 3758096384, 3758096384),
)
QEMU_ONE_PIECE = (b'none',)
QEMU_RAM = b'ram'
QEMU_RAM_END = b'.ram'
QEMU_MULTIFD_BEGIN = b'\x11"3D\x00\x00\x00\x01'
QEMU_MULTIFD_METHODS = {0: 'none', 1: 'zlib', 2: 'zstd', 4: 'qpl', 8: 'uadk', 16: 'qatzip'}
QEMU_MULTIFD_OFFSETS = 128
QEMU_MULTIFD_METHOD = (1, 31)
QEMU_MULTIFD_STATE = 64
QEMU_MULTIFD_SYNC = 1
QEMU_COMMANDS = {
    1: 'OPEN_RETURN_PATH',
    2: 'PING',
    3: 'POSTCOPY_ADVISE',
    4: 'POSTCOPY_LISTEN',
    5: 'POSTCOPY_RUN',
    6: 'POSTCOPY_RAM_DISCARD',
    7: 'PACKAGED',
    8: 'ENABLE_COLO',
    9: 'POSTCOPY_RESUME',
    10: 'RECV_BITMAP',
    11: 'SWITCHOVER_START',
}
QEMU_COMMAND_LENGTHS = {1: (0,), 2: (4,), 3: (0, 16), 4: (0,), 5: (0,), 7: (4,), 8: (0,), 9: (0,), 11: (0,)}
VFIO_SECTION = b'vfio'
VFIO_SECTION_VERSION = 1
VFIO_MARK = 18446744073425387520
VFIO_MARK_SIZE = 8
VFIO_END_OF_STATE = 18446744073425387521
VFIO_DEV_CONFIG = 18446744073425387522
VFIO_DEV_SETUP = 18446744073425387523
VFIO_DEV_DATA = 18446744073425387524
VFIO_INIT_DATA_SENT = 18446744073425387525
VFIO_CONFIG_READY = 18446744073425387526
VFIO_FLAG_SETUP = 0
VFIO_FLAG_PCI = 1
VFIO_FLAG_CONFIG = 2
VFIO_FLAG_MEMORY = 4
VFIO_FLAG_CONTINUE = 8
VFIO_PROPOSAL_PCI = (32, 4)
VFIO_PACKET_VERSION = 0
VFIO_PACKET_CONFIG = 1
VFIO_PACKET_NONE = 4294967295
VFIO_PACKET_SIZE = 12
VFIO_PCI_SIZE = 256
VFIO_PCIE_SIZE = 4096
VFIO_PCI_INTERRUPTS = 4
VFIO_PCI_CAPABILITIES = 52
VFIO_PCI_STATUS = 6
VFIO_PCI_STATUS_LIST = 16
VFIO_CAP_MSIX = 17
VFIO_MSIX_ENTRY = 16
VFIO_MARKS = {
    18446744073425387521: 'END_OF_STATE',
    18446744073425387522: 'DEV_CONFIG_STATE',
    18446744073425387523: 'DEV_SETUP_STATE',
    18446744073425387524: 'DEV_DATA_STATE',
    18446744073425387525: 'DEV_INIT_DATA_SENT',
    18446744073425387526: 'DEV_CONFIG_LOAD_READY',
}
QEMU_SECTION_LENGTHS = {
    (b'timer', 2): (24,),
    (b'cpu_common', 1): (8,),
    (b'cpu', 12): (1851,),
    (b'kvm-tpr-opt', 1): (144,),
    (b'apic', 3): (181, 204),
    (b'PCIHost', 1): (4,),
    (b'PCIBUS', 1): (20, 36),
    (b'I440FX', 3): (277,),
    (b'mch', 1): (277,),
    (b'PIIX3', 3): (292,),
    (b'i8259', 1): (16,),
    (b'ioapic', 3): (206,),
    (b'hpet', 2): (151,),
    (b'mc146818rtc', 3): (245,),
    (b'i8254', 3): (108,),
    (b'pcspk', 1): (2,),
    (b'dma', 1): (75,),
    (b'fdc', 2): (593,),
    (b'ps2kbd', 3): (284,),
    (b'ps2mouse', 2): (291,),
    (b'vmmouse', 0): (4105,),
    (b'port92', 1): (1,),
    (b'ide', 3): (430,),
    (b'isa-ide', 3): (58,),
    (b'ich9_ahci', 1): (4168,),
    (b'i2c_bus', 1): (1,),
    (b'acpi_build', 1): (1,),
    (b'globalstate', 1): (104,),
    (b'vga', 2): (1407,),
    (b'cirrus_vga', 2): (1870,),
    (b'rtl8139', 5): (642,),
    (b'e1000', 2): (198785,),
    (b'vmxnet3', 1): (7456,),
    (b'pcnet', 3): (4752,),
    (b'ne2000', 3): (49472,),
    (b'uhci', 3): (315,),
    (b'ehci', 2): (376,),
    (b'xhci', 1): (5343,),
    (b'serial', 3): (11,),
    (b'parallel_isa', 1): (12,),
    (b'vmgenid', 1): (8,),
    (b'vmcoreinfo', 1): (17,),
    (b'piix4_pm', 3): (312, 336, 347, 371, 2356, 2380, 2391, 2404, 2408, 2415, 2428, 2432, 2439, 2443, 2463, 2467),
    (b'ICH9LPC', 1): (16803, 16837, 18878, 18912),
    (b'ich9_smb', 1): (276, 325),
    (b'pckbd', 3): (4, 40),
    (b'fw_cfg', 2): (6, 30, 50, 74),
}
QEMU_SHOWING = frozenset([b'I440FX', b'ICH9LPC', b'PIIX3', b'apic', b'cpu_common', b'dma', b'fw_cfg', b'ich9_smb', b'mc146818rtc', b'mch', b'pckbd', b'piix4_pm'])
