/* Populating memory, and libxenforeignmemory: how a toolstack sees it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "fakexen.h"
#include "hypervisor.h"
#include <xenforeignmemory.h>
#include <xen/memory.h>

static long populate(xen_memory_reservation_t *r)
{
    xen_pfn_t *ext = r->extent_start.p;
    uint64_t n = 1ull << r->extent_order, i, j;

    if ( r->domid != fx.domid )
        return -ESRCH;
    for ( i = 0; i < r->nr_extents; i++ )
    {
        if ( fx.tot_pages + n > fx.max_pages )
            break;
        if ( fx.hvm )
        {
            if ( ext[i] >= fx.nr_frames || n > fx.nr_frames - ext[i] )
                break;
            for ( j = 0; j < n; j++ )
                fx_add_frame(ext[i] + j, 0);
        }
        else
        {
            uint64_t mfn = n == 1 ? fx_alloc_mfn(ext[i]) : FX_NO_FRAME;

            if ( mfn == FX_NO_FRAME )
                break;
            fx_add_frame(mfn, 0);
            ext[i] = mfn;
        }
        fx.stats.populated += n;
    }
    return i;
}

long memory_op(unsigned int cmd, void *arg)
{
    trace("memory_op %u", cmd);
    switch ( cmd )
    {
    case XENMEM_maximum_gpfn:       return fx.max_gpfn;
    case XENMEM_current_reservation: return fx.tot_pages;
    case XENMEM_maximum_ram_page:   return fx.nr_frames - 1;
    case XENMEM_populate_physmap:   return populate(arg);
    case XENMEM_add_to_physmap:
    case XENMEM_remove_from_physmap: return 0;

    case XENMEM_machphys_mfn_list:
    case XENMEM_machphys_compat_mfn_list:       /* 4.14's PV code asks for its first frame */
    {
        struct xen_machphys_mfn_list *l = arg;
        unsigned int i;

        for ( i = 0; i < l->max_extents && ((uint64_t)i << 21) < m2p_bytes; i++ )
            l->extent_start.p[i] = (uint64_t)i << (21 - 12);
        l->nr_extents = i;
        return 0;
    }
    }
    return unknown("memory_op", cmd, 0);
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *,
                                               unsigned)
{
    return HANDLE(xenforeignmemory_handle);
}

int xenforeignmemory_close(xenforeignmemory_handle *) { return 0; }
int xenforeignmemory_restrict(xenforeignmemory_handle *, domid_t) { return 0; }

static int frame_error(uint32_t dom, uint64_t f)
{
    if ( dom == DOMID_XEN )
        return m2p_fd >= 0 && f < m2p_bytes / FX_PAGE ? 0 : -EINVAL;
    if ( dom != fx.domid )
        return -ESRCH;
    return f < fx.nr_frames && (fx.fl[f] & FX_PRESENT) ? 0 : -EINVAL;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *, uint32_t dom,
                            void *addr, int prot, int flags, size_t n,
                            const xen_pfn_t arr[], int err[])
{
    int fd = dom == DOMID_XEN ? m2p_fd : ram_fd, e = 0;
    /* Of the guest's pages every one is touched, of the table hardly any. */
    int touched = dom == DOMID_XEN ? 0 : MAP_POPULATE;
    double start = now();
    size_t i, run;
    uint8_t *va;

    trace("map dom %u prot %d pages %zu first %#lx", dom, prot, n,
          n ? (unsigned long)arr[0] : 0);
    va = mmap(addr, n * FX_PAGE, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    if ( va == MAP_FAILED )
        return NULL;
    fx.stats.maps++;

    for ( i = 0; i < n; i += run )
    {
        int rc = frame_error(dom, arr[i]);

        for ( run = 1; i + run < n && arr[i + run] == arr[i] + run &&
                       frame_error(dom, arr[i + run]) == rc; run++ )
            ;
        if ( !rc && mmap(va + i * FX_PAGE, run * FX_PAGE, prot,
                         MAP_SHARED | MAP_FIXED | touched, fd,
                         (fx.sink ? i : arr[i]) * FX_PAGE) == MAP_FAILED )
            rc = -errno;
        if ( err )
            for ( size_t j = 0; j < run; j++ )
                err[i + j] = rc;
        if ( rc )
            e = rc;
        else
            fx.stats.pages_mapped += run;
    }
    if ( e && !err )
    {
        munmap(va, n * FX_PAGE);
        errno = -e;
        return NULL;
    }
    fx.stats.map_seconds += now() - start;
    if ( prot == PROT_WRITE && dom == fx.domid )
    {
        xen_pfn_t *frames = realloc(fx.wo_frames, n * sizeof(*frames));

        if ( frames )
        {
            fx.wo_frames = memcpy(frames, arr, n * sizeof(*frames));
            fx.nr_wo = n;
        }
    }
    return va;
}

void *xenforeignmemory_map(xenforeignmemory_handle *h, uint32_t dom, int prot,
                           size_t n, const xen_pfn_t arr[], int err[])
{
    return xenforeignmemory_map2(h, dom, NULL, prot, 0, n, arr, err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *, void *addr, size_t n)
{
    double start = now();
    int rc = munmap(addr, n * FX_PAGE);

    fx.stats.map_seconds += now() - start;
    return rc;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *, domid_t dom, unsigned int type,
    unsigned int id, unsigned long frame, unsigned long nr, void **paddr,
    int, int)
{
    trace("map_resource type %u id %u frame %lu", type, id, frame);
    if ( dom != fx.domid || type != XENMEM_resource_grant_table || frame || nr != 1 )
    {
        errno = EINVAL;
        return NULL;
    }
    *paddr = fx.gnttab;
    return HANDLE(xenforeignmemory_resource_handle);
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *,
                                    xenforeignmemory_resource_handle *)
{
    return 0;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *, domid_t,
                                   unsigned int, unsigned int, size_t *s)
{
    *s = FX_PAGE;
    return 0;
}
