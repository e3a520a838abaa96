/* A 64 bit PV guest, with its tables in the low pfns. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fakexen.h"
#include "peer.h"

#define P2M_VADDR       0xffffc90000000000ull   /* clear of Xen's own range */
#define PTE_FLAGS       0x67ull                 /* P RW US A D */
#define PINNED          XEN_DOMCTL_PFINFO_LPINTAB
#define PER_PAGE        512ull                  /* entries of a table */

/* Pfns of the furniture; what comes in several pages is followed by their number. */
static struct {
    uint64_t start, store, console, gdt, l4, l3, l2, l1, nr_l1, list_of_lists, lists, nr_lists,
             list_l3, list_l2, list_l1, nr_list_l1;
} at;

static uint64_t pages_for(uint64_t entries) { return (entries + PER_PAGE - 1) / PER_PAGE; }

static uint64_t mfn(uint64_t pfn) { return guest.p2m[pfn]; }

static uint64_t pte(uint64_t pfn) { return mfn(pfn) * FX_PAGE | PTE_FLAGS; }

static uint64_t *words(uint64_t pfn) { return (uint64_t *)fx_page(mfn(pfn)); }

static uint64_t *table(uint64_t pfn, uint32_t type)
{
    fx_add_frame(mfn(pfn), type);
    return words(pfn);
}

static void lay_out(void)
{
    uint64_t next = 1;

    at.nr_l1 = pages_for(opt.pages) > 8 ? 8 : pages_for(opt.pages);
    guest.nr_leaves = pages_for(opt.pages);
    at.nr_lists = pages_for(guest.nr_leaves);
    at.nr_list_l1 = opt.p2m_list ? pages_for(guest.nr_leaves) : 0;

    at.start = next++;
    at.store = next++;
    at.console = next++;
    at.gdt = next++;
    at.l4 = next++;
    at.l3 = next++;
    at.l2 = next++;
    at.l1 = next;
    next += at.nr_l1;
    at.list_of_lists = next++;
    at.lists = next;
    next += at.nr_lists;
    guest.p2m_leaf0 = next;
    next += guest.nr_leaves;
    at.list_l3 = next;
    next += opt.p2m_list;
    at.list_l2 = next;
    next += opt.p2m_list;
    at.list_l1 = next;
    next += at.nr_list_l1;
    guest.first_data_pfn = next;
    if ( next + 8 > opt.pages )
    {
        fprintf(stderr, "a PV guest needs more than %" PRIu64 " pages\n", opt.pages);
        exit(2);
    }
}

static void populate(void)
{
    for ( uint64_t pfn = 0; pfn < opt.pages; pfn++ )
    {
        guest.p2m[pfn] = FX_NO_FRAME;
        if ( pfn >= guest.first_data_pfn && is_hole(pfn) )
            continue;
        guest.p2m[pfn] = fx_alloc_mfn(pfn);
        fx_add_frame(mfn(pfn), 0);
        if ( pfn >= guest.first_data_pfn )
            write_page(pfn, mfn(pfn));
    }
    fx.max_gpfn = opt.pages - 1;
}

static void pagetables(void)
{
    uint64_t *t = table(at.l4, XEN_DOMCTL_PFINFO_L4TAB | PINNED), i;

    t[0] = pte(at.l3);
    for ( i = XEN_SLOT_FIRST; i < XEN_SLOT_END; i++ )   /* must not be sent */
        t[i] = 0x1000ull * i | PTE_FLAGS;
    if ( opt.p2m_list )
        t[(P2M_VADDR >> 39) % PER_PAGE] = pte(at.list_l3);
    table(at.l3, XEN_DOMCTL_PFINFO_L3TAB)[0] = pte(at.l2);
    t = table(at.l2, XEN_DOMCTL_PFINFO_L2TAB);
    for ( i = 0; i < at.nr_l1; i++ )
        t[i] = pte(at.l1 + i);
    for ( i = 0; i < at.nr_l1 * PER_PAGE && i < opt.pages; i++ )
    {
        t = table(at.l1 + i / PER_PAGE, XEN_DOMCTL_PFINFO_L1TAB);
        /* Read-only, every other one no-execute: flags must survive; so must a PTE that is not present. */
        t[i % PER_PAGE] = mfn(i) == FX_NO_FRAME ? 0xdead000ull : (pte(i) & ~2ull) | (i & 1 ? 1ull << 63 : 0);
    }
}

/* The linear list, mapped at P2M_VADDR: what a guest has since Xen 4.6. */
static void linear_list(void)
{
    uint64_t *t, i;

    table(at.list_l3, XEN_DOMCTL_PFINFO_L3TAB)[(P2M_VADDR >> 30) % PER_PAGE] = pte(at.list_l2);
    t = table(at.list_l2, XEN_DOMCTL_PFINFO_L2TAB);
    for ( i = 0; i < at.nr_list_l1; i++ )
        t[i] = pte(at.list_l1 + i);
    for ( i = 0; i < guest.nr_leaves; i++ )
        table(at.list_l1 + i / PER_PAGE, XEN_DOMCTL_PFINFO_L1TAB)[i % PER_PAGE] = pte(guest.p2m_leaf0 + i);
}

/* The tree of three levels, whose leaves are the linear list's pages too. */
static void p2m_tree(void)
{
    uint64_t i;

    for ( i = 0; i < at.nr_lists; i++ )
        words(at.list_of_lists)[i] = mfn(at.lists + i);
    for ( i = 0; i < guest.nr_leaves; i++ )
        words(at.lists + i / PER_PAGE)[i % PER_PAGE] = mfn(guest.p2m_leaf0 + i);
    for ( i = 0; i < guest.nr_leaves * PER_PAGE; i++ )
        words(guest.p2m_leaf0 + i / PER_PAGE)[i % PER_PAGE] = i < opt.pages ? mfn(i) : FX_NO_FRAME;
}

static void shared_info(void)
{
    struct arch_shared_info *arch = &((shared_info_t *)fx_page(fx.shinfo_mfn))->arch;

    arch->max_pfn = opt.pages;
    arch->pfn_to_mfn_frame_list_list = mfn(at.list_of_lists);
    if ( opt.p2m_list )
    {
        arch->p2m_cr3 = mfn(at.l4) * FX_PAGE;
        arch->p2m_vaddr = P2M_VADDR;
    }
}

static void start_info(void)
{
    start_info_t *si = (void *)words(at.start);

    strcpy(si->magic, "xen-3.0-x86_64");
    si->store_mfn = at.store;           /* a suspended guest stores pfns */
    si->console.domU.mfn = at.console;
    strcpy((char *)si->cmd_line, "console=hvc0 fake=guest");
}

static void vcpu(unsigned int id)
{
    vcpu_guest_context_t c;
    xen_domctl_vcpu_msr_t msr = { .index = 0xc0000103, .value = base(0x7c, id) };
    struct xen_domctl_ext_vcpucontext e = {
        .vcpu = id, .size = sizeof(e), .sysenter_callback_eip = base(0xe7, id), .mcg_cap = 0x806 };
    uint64_t xs[(16 + 832) / 8];

    fill(&c, sizeof(c), base(0xc7, id), false);
    c.flags = VGCF_online | VGCF_in_kernel;
    if ( id == 0 )
        c.user_regs.rdx = mfn(at.start);    /* the suspend record */
    memset(c.gdt_frames, 0, sizeof(c.gdt_frames));
    c.gdt_ents = 512;
    c.gdt_frames[0] = mfn(at.gdt);
    c.ctrlreg[3] = mfn(at.l4) * FX_PAGE;
    c.ctrlreg[1] = id ? 0 : mfn(at.l4) * FX_PAGE;
    fill(xs, sizeof(xs), base(0x5a, id), false);
    xs[0] = xs[1] = 7;
    fx.vcpu[id].xmask = 7;
    fx.vcpu[id].online = true;
    if ( fx_set_blob(&fx.vcpu[id].basic, &c, sizeof(c)) || fx_set_blob(&fx.vcpu[id].ext, &e, sizeof(e)) ||
         fx_set_blob(&fx.vcpu[id].xsave, xs, sizeof(xs)) || fx_set_blob(&fx.vcpu[id].msrs, &msr, sizeof(msr)) )
        no_memory();
}

void build_pv(void)
{
    guest.ram_pages = opt.pages;
    guest.version = zeroed(opt.pages, sizeof(*guest.version));
    guest.p2m = zeroed(opt.pages, sizeof(*guest.p2m));
    lay_out();
    populate();
    pagetables();
    if ( opt.p2m_list )
        linear_list();
    p2m_tree();
    shared_info();
    start_info();
    write_page(at.store, mfn(at.store));
    write_page(at.console, mfn(at.console));
    write_page(at.gdt, mfn(at.gdt));
    for ( unsigned int id = 0; id < fx.nr_vcpus; id++ )
        vcpu(id);
}
