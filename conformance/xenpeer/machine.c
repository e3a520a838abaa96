/* The memory of xenpeer's machine, which is its process's own. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fakexen.h"
#include "hypervisor.h"

struct fake_domain fx;
int ram_fd = -1, m2p_fd = -1;
uint64_t ram_at, m2p_at, m2p_bytes;

static void *mem_file(const char *name, uint64_t bytes, int *fd)
{
    void *p;

    *fd = memfd_create(name, MFD_CLOEXEC);
    if ( *fd < 0 || ftruncate(*fd, bytes) )
        return NULL;
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_NORESERVE, *fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

int fx_init(bool hvm, uint32_t domid, uint64_t nr_frames)
{
    memset(&fx, 0, sizeof(fx));
    fx.domid = domid;
    fx.hvm = hvm;
    fx.nr_vcpus = 1;
    fx.max_pages = nr_frames;
    if ( !hvm )     /* fx_alloc_mfn() permutes a power of two above the base */
    {
        uint64_t p = 1024;

        while ( p < nr_frames )
            p <<= 1;
        nr_frames = p + PV_MFN_BASE;
    }
    fx.nr_frames = nr_frames;
    fx.ram = mem_file("fakexen-ram", nr_frames * FX_PAGE, &ram_fd);
    fx.fl = mmap(NULL, nr_frames, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fx.gnttab = mmap(NULL, FX_PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if ( !fx.ram || fx.fl == MAP_FAILED || fx.gnttab == MAP_FAILED )
        return -1;
    if ( !hvm )
    {
        m2p_bytes = (nr_frames * 8 + (1 << 21) - 1) & ~((1ull << 21) - 1);
        fx.m2p = mem_file("fakexen-m2p", m2p_bytes, &m2p_fd);
        if ( !fx.m2p )
            return -1;
        memset(fx.m2p, 0xff, nr_frames * 8);
        fx.shinfo_mfn = PV_SHINFO_MFN;
        fx.fl[PV_SHINFO_MFN] = FX_PRESENT | FX_XENHEAP;
    }
    return 0;
}

int fx_set_blob(struct fx_blob *b, const void *p, size_t len)
{
    void *copy = malloc(len ? len : 1);

    if ( !copy )
        return -ENOMEM;
    memcpy(copy, p, len);
    free(b->p);
    b->p = copy;
    b->len = len;
    return 0;
}

int fx_log_dirty(void)
{
    fx.dirty_bits = fx.max_gpfn + 1;
    free(fx.dirty);
    fx.dirty = calloc(1, fx.dirty_bits / 8 + 8);
    fx.logdirty = fx.dirty != NULL;
    return fx.logdirty ? 0 : -ENOMEM;
}

/* Opened by libxenctrl, and then not used by a save or a restore. */
void *xenevtchn_open(void *, unsigned) { return HANDLE(void); }
int xenevtchn_close(void *) { return 0; }
