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

void cpu_policy(void)
{
    fx_host_policy();
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
