/* What the guest's memory holds, and digests of it. */
#include <string.h>

#include "fakexen.h"
#include "peer.h"

/* The splitmix64 finaliser. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

uint64_t base(uint64_t what, uint64_t version)
{
    return mix(mix(mix(opt.seed) + what) + version);
}

void fill(void *p, size_t bytes, uint64_t b, bool same)
{
    uint64_t *w = p;

    for ( size_t i = 0; i < bytes / 8; i++ )
        w[i] = same ? b : mix(b + (i + 1) * 0x9e3779b97f4a7c15ull);
}

void write_page(uint64_t pfn, uint64_t frame)
{
    if ( pfn % 5 == 4 && !guest.version[pfn] )
        memset(fx_page(frame), 0, FX_PAGE);
    else
        fill(fx_page(frame), FX_PAGE, base(pfn, guest.version[pfn]), opt.tag);
}

uint64_t fnv(uint64_t h, const void *p, size_t bytes)
{
    const uint64_t *w = p;

    for ( size_t i = 0; i < bytes / 8; i++ )
        h = (h ^ w[i]) * 0x100000001b3ull;
    for ( size_t i = bytes & ~7ull; i < bytes; i++ )
        h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3ull;
    return h;
}
