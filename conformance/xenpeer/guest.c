/* The guest as it runs, of either kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fakexen.h"
#include "peer.h"

struct guest guest;

void no_memory(void)
{
    fputs("xenpeer: no memory for the guest\n", stderr);
    exit(2);
}

void *zeroed(size_t n, size_t size)
{
    void *p = calloc(n, size);

    if ( !p )
        no_memory();
    return p;
}

static uint64_t frame_of(uint64_t pfn)
{
    return opt.pv ? guest.p2m[pfn] : pfn;
}

static bool populated(uint64_t pfn)
{
    uint64_t f = frame_of(pfn);

    return f != FX_NO_FRAME && (fx.fl[f] & FX_PRESENT);
}

/* The chipset's, in every PC: what never is RAM. */
static bool is_vga(uint64_t pfn)
{
    return !opt.pv && pfn >= 0xa0 && pfn < 0xc0;
}

void guest_runs(void)
{
    static unsigned int rounds;
    uint64_t n, i, k, pfn;

    rounds++;
    for ( n = i = 0; n < opt.dirty && i < opt.dirty * 8; i++ )
    {
        pfn = base(0xd1d1 + rounds, i) % guest.ram_pages;
        if ( pfn < guest.first_data_pfn || !populated(pfn) )
            continue;
        guest.version[pfn]++;
        write_page(pfn, frame_of(pfn));
        fx_mark_dirty(pfn);
        n++;
    }
    for ( k = 0; k < guest.ram_pages && !opt.pv && opt.dirty; k++ )
    {
        pfn = (base(0xba11, rounds) + k) % guest.ram_pages;
        if ( populated(pfn) || fx.fl[pfn] || is_vga(pfn) )
            continue;
        fx_add_frame(pfn, 0);
        guest.version[pfn]++;
        write_page(pfn, pfn);
        fx_mark_dirty(pfn);
        break;
    }
    fx.tsc.nsec += 1000000;
}

bool is_hole(uint64_t pfn)
{
    if ( !opt.pv && pfn >= 0xa0 && pfn < 0xc0 )
        return true;            /* VGA */
    return opt.holes && pfn > 16 &&
           base(0x401e, pfn) % guest.ram_pages < opt.holes;
}

#define PLAIN(n, a, b, c, d) { n, XEN_CPUID_NO_SUBLEAF, a, b, c, d }
#define EMPTY(n) PLAIN(n, 0, 0, 0, 0)

/* A machine of 2016: enough of one for libxenguest to decode. */
void cpu_policy(void)
{
    static const xen_cpuid_leaf_t basic[] = {
        PLAIN(0, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69),
        PLAIN(1, 0x000406f1, 0x00010800, 0xf7fa3203, 0x0f8bfbff),
        PLAIN(2, 0x76036301, 0x00f0b5ff, 0, 0x00c30000),
        EMPTY(3), { 4, 0, 0, 0, 0, 0 }, EMPTY(5), EMPTY(6),
        { 7, 0, 0, 0x001c6fbb, 0, 0x9c000000 },
        EMPTY(8), EMPTY(9), EMPTY(10), { 11, 0, 0, 0, 0, 0 }, EMPTY(12),
        { 13, 0, 7, 0x340, 0x340, 0 }, { 13, 1, 1, 0, 0, 0 },
        { 13, 2, 0x100, 0x240, 0, 0 },
        EMPTY(0x40000000), EMPTY(0x40000100),
        PLAIN(0x80000000, 0x80000008, 0, 0, 0),
        PLAIN(0x80000001, 0, 0, 0x121, 0x2c100800),
        PLAIN(0x80000002, 0x656b6146, 0x6e655820, 0, 0),
        EMPTY(0x80000003), EMPTY(0x80000004), EMPTY(0x80000005),
        EMPTY(0x80000006), EMPTY(0x80000007),
        PLAIN(0x80000008, 0x3030, 0, 0, 0),
    };

    memcpy(fx.leaves, basic, sizeof(basic));
    fx.nr_leaves = sizeof(basic) / sizeof(basic[0]);
    fx.msrs[0] = (xen_msr_entry_t){ .idx = 0xce, .val = 0x80000000 };
    fx.msrs[1] = (xen_msr_entry_t){ .idx = 0x10a, .val = 0x6b };
    fx.nr_msrs = 2;
    fx.tsc.mode = 0;
    fx.tsc.khz = 2400000;
    fx.tsc.nsec = 0x123456789aull + opt.seed;
    fx.tsc.incarnation = 1;
}

void build_guest(void)
{
    cpu_policy();
    if ( opt.pv )
        build_pv();
    else
        build_hvm();
}
