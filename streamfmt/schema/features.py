"""Bits that have names: those of CPUID leaves and MSRs in a guest's policies, and of registers in its payloads.

Names are those of Intel's and AMD's manuals, spelt as Xen's public header spells them, in lower case.  A row of names
has one for each bit, from the least significant; "-" is a bit without one.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; xen/include/public/arch-x86/cpufeatureset.h"
# The subleaf of a leaf that has none.
NONE = 0xFFFFFFFF


class Feature(NamedTuple):
    """A bit, or several that are a number, of what a leaf gives in a register."""

    leaf: int
    subleaf: int
    register: str
    shift: int
    bits: int
    name: str


_CPUID = {
    (1, NONE, "edx"): (
        "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 psn clflush - ds acpi mmx "
        "fxsr sse sse2 ss htt tm1 ia64 pbe"
    ),
    (1, NONE, "ecx"): (
        "sse3 pclmulqdq dtes64 monitor dscpl vmx smx eist tm2 ssse3 cnxt_id sdbg fma cx16 xtpr pdcm - pcid "
        "dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline aesni xsave osxsave avx f16c rdrand hypervisor"
    ),
    (0x80000001, NONE, "edx"): (
        "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - ffxsr page1gb rdtscp - lm 3dnowext 3dnow"
    ),
    (0x80000001, NONE, "ecx"): (
        "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit "
        "wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - dbext perftsc perfctr_l2 "
        "monitorx addr_msk_ext"
    ),
    (0xD, 1, "eax"): "xsaveopt xsavec xgetbv1 xsaves xfd",
    (7, 0, "ebx"): (
        "fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excp_only smep bmi2 erms invpcid rtm pqm no_fpu_sel mpx "
        "pqe avx512f avx512dq rdseed adx smap avx512_ifma - clflushopt clwb proc_trace avx512pf avx512er "
        "avx512cd sha avx512bw avx512vl"
    ),
    (7, 0, "ecx"): (
        "prefetchwt1 avx512_vbmi umip pku ospke waitpkg avx512_vbmi2 cet_ss gfni vaes vpclmulqdq avx512_vnni "
        "avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid kl bld cldemote - movdiri movdir64b enqcmd "
        "sgx_lc pks"
    ),
    (0x80000007, NONE, "edx"): "ts fid vid ttp htc - 100mhz hw_pstate itsc cpb efro",
    (0x80000008, NONE, "ebx"): (
        "clzero irperf rstr_fp_err_ptrs invlpgb rdpru - mbe - mcommit wbnoinvd - - ibpb int_wbinvd ibrs "
        "amd_stibp ibrs_always stibp_always ibrs_fast ibrs_same_mode no_lmsl - - amd_ppin amd_ssbd virt_ssbd "
        "ssb_no - psfd btc_no ibpb_ret"
    ),
    (7, 0, "edx"): (
        "- sgx_keys avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds_ctrl md_clear "
        "rtm_always_abort - tsx_force_abort serialize hybrid tsxldtrk - pconfig arch_lbr cet_ibt - amx_bf16 "
        "avx512_fp16 amx_tile amx_int8 ibrsb stibp l1d_flush arch_caps core_caps ssbd"
    ),
    (7, 1, "eax"): (
        "sha512 sm3 sm4 rao_int avx_vnni avx512_bf16 lass cmpccxadd - - fzrm fsrs fsrcs - - - - fred lkgs "
        "wrmsrns - amx_fp16 hreset avx_ifma - - lam"
    ),
    (7, 1, "ebx"): "intel_ppin",
    (7, 1, "edx"): (
        "- - - - avx_vnni_int8 avx_ne_convert - - amx_complex - avx_vnni_int16 - - - prefetchi - - - cet_sss"
    ),
    (7, 2, "edx"): "intel_psfd ipred_ctrl rrsba_ctrl ddp_ctrl bhi_ctrl mcdt_no",
    (0x80000021, NONE, "eax"): (
        "no_nest_bp fs_gs_ns lfence_dispatch - - verw_clear nscb - auto_ibrs - amd_fsrs amd_fsrc - - - - - "
        "cpuid_user_dis epsf fsrsc amd_prefetchi - - - - - - sbpb ibpb_brtype srso_no srso_us_no srso_msr_fix"
    ),
    (0x80000021, NONE, "ecx"): "- tsa_sq_no tsa_l1_no",
}
_XCR0 = "x87 sse avx bndregs bndcsr opmask zmm zmm_high - pkru - - - - - - - amx_cfg amx_data"
_MSRS = {
    0xCE: "- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - cpuid_faulting",
    0x10A: (
        "rdcl_no eibrs rsba skip_l1dfl intel_ssb_no mds_no if_pschange_mc_no tsx_ctrl taa_no mcu_ctrl "
        "misc_pkg_ctrl energy_filtering doitm sbdr_ssdp_no fbsdp_no psdp_no - fb_clear fb_clear_ctrl rrsba "
        "bhi_no xapic_status - ovrclk_status pbrsb_no gds_ctrl gds_no rfds_no rfds_clear - - - pb_opt_ctrl - "
        "- - - - - - - - - - - - - - - - - - - - - - - - - - - - its_no"
    ),
}
MSR_NAMES = {
    0xCE: "PLATFORM_INFO",
    0x10A: "ARCH_CAPABILITIES",
    0x48: "SPEC_CTRL",
    0x140: "MISC_FEATURES_ENABLES",
    0x6E1: "PKRS",
    0xD90: "BNDCFGS",
    0xDA0: "XSS",
    0xC0000103: "TSC_AUX",
    0xC001011F: "VIRT_SPEC_CTRL",
    0xC0011027: "AMD64_DR0_ADDRESS_MASK",
    0xC0011019: "AMD64_DR1_ADDRESS_MASK",
    0xC001101A: "AMD64_DR2_ADDRESS_MASK",
    0xC001101B: "AMD64_DR3_ADDRESS_MASK",
}
# Numbers in leaves: where they lie, how wide they are.
_NUMBERS = (
    Feature(0, NONE, "eax", 0, 32, "max_leaf"),
    Feature(1, NONE, "eax", 0, 4, "stepping"),
    Feature(1, NONE, "eax", 4, 4, "model"),
    Feature(1, NONE, "eax", 8, 4, "family"),
    Feature(1, NONE, "eax", 12, 2, "processor_type"),
    Feature(1, NONE, "eax", 16, 4, "extended_model"),
    Feature(1, NONE, "eax", 20, 8, "extended_family"),
    Feature(1, NONE, "ebx", 8, 8, "clflush_size"),
    Feature(1, NONE, "ebx", 16, 8, "logical_processors"),
    Feature(1, NONE, "ebx", 24, 8, "initial_apic_id"),
    Feature(7, 0, "eax", 0, 32, "max_subleaf"),
    Feature(0xD, 0, "ebx", 0, 32, "xsave_size"),
    Feature(0xD, 0, "ecx", 0, 32, "xsave_max_size"),
    Feature(0x40000000, NONE, "eax", 0, 32, "max_hypervisor_leaf"),
    Feature(0x80000000, NONE, "eax", 0, 32, "max_extended_leaf"),
    Feature(0x80000008, NONE, "eax", 0, 8, "physical_address_bits"),
    Feature(0x80000008, NONE, "eax", 8, 8, "linear_address_bits"),
    Feature(0x80000008, NONE, "eax", 16, 8, "guest_address_bits"),
    Feature(0x80000008, NONE, "ecx", 0, 8, "cores_but_one"),
    Feature(0x80000008, NONE, "ecx", 12, 4, "apic_id_bits"),
)
_ALL = ("eax", "ebx", "ecx", "edx")
# Leaves whose registers together are text, in this order.
TEXTS = {
    0: ("vendor", ("ebx", "edx", "ecx")),
    0x80000002: ("brand_1", _ALL),
    0x80000003: ("brand_2", _ALL),
    0x80000004: ("brand_3", _ALL),
}
# Bits of registers, by what the fields of payloads that hold them are called.
_FLAGS = "cf - pf - af - zf sf tf if df of iopl0 iopl1 nt - rf vm ac vif vip id"
_CR4 = (
    "vme pvi tsd de pse pae mce pge pce osfxsr osxmmexcpt umip la57 vmxe smxe - fsgsbase pcide osxsave kl "
    "smep smap pke cet pks uintr - lass lam_sup - - - fred"
)
_REGISTERS = {
    "rflags": _FLAGS,
    "eflags": _FLAGS,
    "cr0": "pe mp em ts et ne - - - - - - - - - - wp - am - - - - - - - - - - nw cd pg",
    "cr4": _CR4,
    "msr_efer": "sce - - - - - - - lme - lma nx svme lmsle ffxsr tce - mcommit intwb - uaie autoibrs",
    "xcr0": _XCR0,
    "xcr0_accum": _XCR0,
    "xfeature_mask": _XCR0,
    "xstate_bv": _XCR0,
    "vm_assist": "4gb_segments 4gb_segments_notify writable_pagetables pae_extended_cr3 - architectural_iopl "
    "runstate_update_flag - - - - - - - - - - - - - - - - - - - - - - - - - m2p_strict",
}
_VGCF = "i387_valid - in_kernel failsafe_disables_events syscall_disables_events online - - in_syscall"


def _rows(names: str) -> list[tuple[int, str]]:
    return [(bit, name) for bit, name in enumerate(names.split()) if name != "-"]


FEATURES = (
    *_NUMBERS,
    *(Feature(*place, bit, 1, name) for place, names in _CPUID.items() for bit, name in _rows(names)),
    *(Feature(0xD, 0, "eax", bit, 1, f"xcr0_{name}") for bit, name in _rows(_XCR0)),
    # Of each component that has a place of its own, subleaf 2 and on.
    *(
        Feature(0xD, bit, register, 0, 32, f"{name}_{what}")
        for bit, name in _rows(_XCR0)[2:]
        for register, what in (("eax", "size"), ("ebx", "offset"))
    ),
)
# Bits of an entry of a page table beside the frame's number (Intel SDM volume 3, section 4.5).
PTE_BITS = {
    **dict(_rows("present rw user pwt pcd accessed dirty pse global avl_9 avl_10 avl_11")),
    63: "nx",
}
MSR_BITS = {index: dict(_rows(names)) for index, names in _MSRS.items()}
REGISTER_BITS = {name: dict(_rows(names)) for name, names in _REGISTERS.items()}
# The same for fields whose names say too little: by the payload's path and the field's.
FIELD_BITS = {path: {"flags": dict(_rows(_VGCF))} for path in ("pv.VCPU_64", "pv.VCPU_32")}
XCR0_BITS = {name: bit for bit, name in _rows(_XCR0)}
