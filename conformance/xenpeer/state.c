/*
 * What the domain looks like, as JSON.  "state" is the same on both sides of a
 * faithful migration: what a restorer is meant to change is left out.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fakexen.h"
#include "peer.h"
#include <xen/grant_table.h>

void put_blob(FILE *f, const char *name, const void *p, size_t len, const char *end)
{
    fprintf(f, "\"%s\":{\"len\":%zu,\"fnv\":\"%016" PRIx64 "\"}%s", name, len, fnv(FNV_BASIS, p, len), end);
}

/* Rings, which a restorer clears. */
static bool is_ring(uint64_t pfn)
{
    return pfn == fx.params[HVM_PARAM_STORE_PFN] || pfn == fx.params[HVM_PARAM_CONSOLE_PFN] ||
           pfn == fx.params[HVM_PARAM_IOREQ_PFN] || pfn == fx.params[HVM_PARAM_BUFIOREQ_PFN];
}

static void canonical(uint64_t pfn, uint64_t *page)
{
    if ( opt.pv )
        canonical_pv(pfn, page);
    else if ( opt.save && is_ring(pfn) )
        memset(page, 0, FX_PAGE);
}

static int open_dump(void)
{
    int fd = open(opt.dump, O_RDWR | O_CREAT | O_TRUNC, 0644);

    if ( fd < 0 || ftruncate(fd, (fx.max_gpfn + 1) * FX_PAGE) )
        perror(opt.dump);
    return fd;
}

static void put_memory(FILE *f)
{
    uint64_t digest = FNV_BASIS, pages = 0, top = 0, pfn, h, page[FX_PAGE / 8];
    int dump = opt.dump ? open_dump() : -1;

    for ( pfn = 0; !opt.no_digest && pfn <= fx.max_gpfn; pfn++ )
    {
        uint64_t frame = opt.pv ? pv_frame(pfn) : pfn;

        if ( frame == FX_NO_FRAME || !(fx.fl[frame] & FX_PRESENT) )
            continue;
        pages++;
        top = pfn;
        memcpy(page, fx_page(frame), FX_PAGE);
        canonical(pfn, page);
        h = fnv(FNV_BASIS, page, FX_PAGE);
        digest = fnv(fnv(digest, &pfn, 8), &h, 8);
        if ( dump >= 0 && pwrite(dump, page, FX_PAGE, pfn * FX_PAGE) != (ssize_t)FX_PAGE )
            perror(opt.dump);
    }
    if ( dump >= 0 )
        close(dump);
    fprintf(f, "\"pages\":%" PRIu64 ",\"max_pfn\":%" PRIu64 ",\"memory\":\"%016" PRIx64 "\",\n  ",
            opt.no_digest ? fx.tot_pages : pages, top, digest);
}

static void put_hvm(FILE *f)
{
    const char *comma = "";

    fprintf(f, "\"params\":{");
    for ( unsigned int i = 0; i < HVM_NR_PARAMS; i++ )
        /* The ports are the restorer's. */
        if ( fx.params[i] && i != HVM_PARAM_STORE_EVTCHN && i != HVM_PARAM_CONSOLE_EVTCHN )
        {
            fprintf(f, "%s\"%u\":%" PRIu64, comma, i, fx.params[i]);
            comma = ",";
        }
    fprintf(f, "},\n  ");
    put_blob(f, "hvm_context", fx.hvmctx.p, fx.hvmctx.len, ",");
}

static void put_outcome(FILE *f, const struct outcome *o)
{
    const grant_entry_v1_t *grants = (void *)fx.gnttab;

    fprintf(f, "{\"result\":\"%s\",\"rc\":%d,\"errno\":%d,\"offset\":%lld,\n", o->result, o->rc, o->err,
            (long long)o->offset);
    fprintf(f, " \"stats\":{\"seconds\":%.4f,\"map_seconds\":%.4f,\"hypercalls\":%" PRIu64 ",\"maps\":%" PRIu64
               ",\"pages_mapped\":%" PRIu64 ",\"populated\":%" PRIu64 ",\"pins\":%" PRIu64 ",\"unhandled\":%" PRIu64
               "},\n",
            o->seconds, fx.stats.map_seconds, fx.stats.hypercalls, fx.stats.maps, fx.stats.pages_mapped,
            fx.stats.populated, fx.stats.pins, fx.stats.unknown);
    if ( !opt.save )
        fprintf(f, " \"rings\":{\"store\":%" PRIu64 ",\"console\":%" PRIu64 ",\"grants\":[%u,%u]},\n", o->store,
                o->console, grants[GNTTAB_RESERVED_CONSOLE].frame, grants[GNTTAB_RESERVED_XENSTORE].frame);
}

int report(FILE *f, const struct outcome *o)
{
    put_outcome(f, o);
    fprintf(f, " \"state\":{\"type\":\"%s\",", opt.pv ? "pv" : "hvm");
    if ( opt.pv )
        survey_pv();
    put_memory(f);
    if ( opt.pv )
        put_pv(f);
    else
        put_hvm(f);
    fprintf(f, "\"tsc\":{\"mode\":%u,\"khz\":%u,\"nsec\":%" PRIu64 ",\"incarnation\":%u},", fx.tsc.mode, fx.tsc.khz,
            fx.tsc.nsec, fx.tsc.incarnation);
    put_blob(f, "cpuid", fx.leaves, fx.nr_leaves * sizeof(fx.leaves[0]), ",");
    put_blob(f, "msr", fx.msrs, fx.nr_msrs * sizeof(fx.msrs[0]), "}}\n");
    return fflush(f);
}
