/*
 * What a PV domain looks like, whichever machine frames it got: their numbers
 * are turned into pfns, Xen's own pagetable entries left out.
 */
#include <inttypes.h>
#include <string.h>

#include "fakexen.h"
#include "peer.h"

#define PTE_FRAME       0x000ffffffffff000ull
#define PTE_PRESENT     1ull

static uint8_t *level_of;       /* pagetable level by pfn, found from cr3 */
static uint64_t *frames;        /* by pfn */
static uint64_t start_info_pfn = FX_NO_FRAME;

uint64_t to_pfn(uint64_t mfn)
{
    return mfn < fx.nr_frames && (fx.fl[mfn] & FX_PRESENT) ? fx.m2p[mfn]
                                                           : FX_NO_FRAME;
}

static bool xens_slot(unsigned int level, unsigned int i)
{
    return level == 4 && i >= XEN_SLOT_FIRST && i < XEN_SLOT_END;
}

static void find_tables(uint64_t mfn, unsigned int level)
{
    uint64_t *t;

    if ( mfn >= fx.nr_frames || fx.m2p[mfn] > fx.max_gpfn || level_of[fx.m2p[mfn]] )
        return;
    level_of[fx.m2p[mfn]] = level;
    t = (uint64_t *)fx_page(mfn);
    for ( unsigned int i = 0; level > 1 && i < 512; i++ )
        if ( (t[i] & PTE_PRESENT) && !xens_slot(level, i) )
            find_tables((t[i] & PTE_FRAME) >> 12, level - 1);
}

static const vcpu_guest_context_t *context_of(unsigned int id)
{
    return fx.vcpu[id].basic.len == sizeof(vcpu_guest_context_t) ? fx.vcpu[id].basic.p : NULL;
}

void survey_pv(void)
{
    /* The restorer's one write-only mapping is the p2m it rebuilds. */
    if ( !opt.save && fx_written.nr )
    {
        guest.p2m_leaf0 = to_pfn(fx_written.frames[0]);
        guest.nr_leaves = fx_written.nr;
    }
    level_of = zeroed(fx.max_gpfn + 1, 1);
    frames = zeroed(fx.max_gpfn + 1, sizeof(*frames));
    memset(frames, 0xff, (fx.max_gpfn + 1) * sizeof(*frames));
    for ( uint64_t mfn = 0; mfn < fx.nr_frames; mfn++ )
        if ( (fx.fl[mfn] & (FX_PRESENT | FX_XENHEAP)) == FX_PRESENT && fx.m2p[mfn] <= fx.max_gpfn )
            frames[fx.m2p[mfn]] = mfn;
    for ( unsigned int id = 0; id < fx.nr_vcpus; id++ )
        if ( context_of(id) )
            find_tables(context_of(id)->ctrlreg[3] >> 12, 4);
    if ( context_of(0) )
        start_info_pfn = to_pfn(context_of(0)->user_regs.rdx);
}

uint64_t pv_frame(uint64_t pfn) { return frames[pfn]; }

void canonical_pv(uint64_t pfn, uint64_t *page)
{
    unsigned int level = level_of[pfn], i;

    if ( pfn == start_info_pfn )
        /* Before pt_base stands what a restorer writes. */
        memset(page, 0, offsetof(start_info_t, pt_base));
    else if ( level )
    {
        for ( i = 0; i < 512; i++ )
            if ( xens_slot(level, i) )
                page[i] = 0;
            else if ( page[i] & PTE_PRESENT )
                page[i] = (page[i] & ~PTE_FRAME) | (to_pfn((page[i] & PTE_FRAME) >> 12) << 12);
    }
    else if ( guest.nr_leaves && pfn >= guest.p2m_leaf0 && pfn < guest.p2m_leaf0 + guest.nr_leaves )
        for ( i = 0; i < 512; i++ )
        {
            uint64_t p = (pfn - guest.p2m_leaf0) * 512 + i;

            page[i] = p > fx.max_gpfn ? FX_NO_FRAME : to_pfn(page[i]);
        }
}

void put_pv(FILE *f)
{
    const struct arch_shared_info *arch = &((shared_info_t *)fx_page(fx.shinfo_mfn))->arch;
    const char *comma = "";

    fprintf(f, "\"vcpus\":[");
    for ( unsigned int id = 0; id < fx.nr_vcpus; id++ )
    {
        vcpu_guest_context_t c;

        if ( !context_of(id) )
            continue;
        memcpy(&c, context_of(id), sizeof(c));
        if ( !id )
            c.user_regs.rdx = to_pfn(c.user_regs.rdx);
        c.gdt_frames[0] = to_pfn(c.gdt_frames[0]);
        c.ctrlreg[3] = to_pfn(c.ctrlreg[3] >> 12);
        c.ctrlreg[1] = c.ctrlreg[1] ? to_pfn(c.ctrlreg[1] >> 12) : 0;
        fprintf(f, "%s{\"id\":%u,", comma, id);
        put_blob(f, "basic", &c, sizeof(c), ",");
        put_blob(f, "extended", fx.vcpu[id].ext.p, fx.vcpu[id].ext.len, ",");
        put_blob(f, "xsave", fx.vcpu[id].xsave.p, fx.vcpu[id].xsave.len, ",");
        put_blob(f, "msrs", fx.vcpu[id].msrs.p, fx.vcpu[id].msrs.len, "}");
        comma = ",";
    }
    fprintf(f, "],\"shared_info\":{\"max_pfn\":%lu,\"p2m_vaddr\":\"%#lx\"}", arch->max_pfn, arch->p2m_vaddr);
    if ( start_info_pfn <= fx.max_gpfn && frames[start_info_pfn] != FX_NO_FRAME )
    {
        const start_info_t *si = (void *)fx_page(frames[start_info_pfn]);
        /* A suspended guest keeps pfns there, a restored one finds mfns. */
        uint64_t store = opt.save ? si->store_mfn : to_pfn(si->store_mfn);
        uint64_t console = opt.save ? si->console.domU.mfn : to_pfn(si->console.domU.mfn);

        fprintf(f, ",\"start_info\":{\"store_pfn\":%" PRIu64 ",\"console_pfn\":%" PRIu64 "}", store, console);
    }
    fputc(',', f);
}
