/*
 * The state file: mapped at one address by every process that loads
 * libfakexen.so, which are libxl's, its save helper's, and xenstored.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared.h"

#define MAGIC   0x66616b6578656e32ull

int ram_fd = -1, m2p_fd = -1;
uint64_t ram_at = FX_OFF_RAM, m2p_at = FX_OFF_M2P, m2p_bytes = FX_M2P_BYTES;

static void *at(uint64_t offset) { return (void *)(FX_BASE + offset); }

/* Where a process has libxenguest, a policy is decoded as Xen would, by what
 * that library exports and no header declares. */
static int audit_policy(struct xen_domctl_cpu_policy *p)
{
    static uint64_t policy[2048];       /* larger than any */
    int (*leaves)(void *, const xen_cpuid_leaf_t *, uint32_t, uint32_t *, uint32_t *) =
        dlsym(RTLD_DEFAULT, "x86_cpuid_copy_from_buffer");
    int (*msrs)(void *, const xen_msr_entry_t *, uint32_t, uint32_t *) =
        dlsym(RTLD_DEFAULT, "x86_msr_copy_from_buffer");
    int rc = 0;

    p->err_leaf = p->err_subleaf = p->err_msr = ~0u;
    if ( p->nr_leaves && leaves )
        rc = leaves(policy, p->leaves.p, p->nr_leaves, &p->err_leaf, &p->err_subleaf);
    if ( !rc && p->nr_msrs && msrs )
        rc = msrs(policy, p->msrs.p, p->nr_msrs, &p->err_msr);
    return rc;
}

/* FAKEXEN_DIRTY=N: an HVM guest under log-dirty writes to N of its pages
 * whenever which those were is asked; with FAKEXEN_DIRTY_LAST also when it has
 * just been stopped, as checkpoints need it. */
static void guest_runs(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15ull;
    const char *wanted = getenv("FAKEXEN_DIRTY");
    unsigned long n = wanted ? strtoul(wanted, NULL, 0) : 0;

    for ( unsigned long left = 16 * n; fx.hvm && n && left; left-- )
    {
        uint64_t pfn;

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        pfn = x % (fx.max_gpfn + 1);
        if ( !(fx.fl[pfn] & FX_PRESENT) || pfn >= fx.dirty_bits )
            continue;
        *(uint64_t *)fx_page(pfn) = x;
        fx_mark_dirty(pfn);
        n--;
    }
}

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("FAKEXEN_STATE");

    if ( !path )
        return;
    ram_fd = m2p_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if ( ram_fd < 0 || ftruncate(ram_fd, FX_FILE_BYTES) ||
         mmap(at(0), FX_FILE_BYTES, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, ram_fd,
              0) != at(0) )
    {
        perror("fakexen: FAKEXEN_STATE");
        _exit(125);
    }
    more_calls = toolstack_call;
    fx_on_clean = guest_runs;
    fx_wrote_before_last = getenv("FAKEXEN_DIRTY_LAST");
    fx_audit_policy = audit_policy;
    if ( host.magic != MAGIC )
    {
        fx.domid = NOBODY;
        host.next_domid = 1;
        host.next_port = 10;
        host.magic = MAGIC;
    }
}

static void punch(uint64_t offset, uint64_t bytes)
{
    if ( fallocate(ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) )
        memset(at(offset), 0, bytes);
}

void blank_domain(uint32_t id, bool hvm, unsigned int vcpus)
{
    memset(&fx, 0, sizeof(fx));
    punch(FX_OFF_FL, FX_OFF_RAM - FX_OFF_FL);
    punch(FX_OFF_RAM, FX_FRAMES * FX_PAGE);
    host.heap = FX_OFF_HEAP;
    host.paused = true;
    host.pool_mb = 0;
    fx.domid = id;
    fx.hvm = hvm;
    fx.nr_vcpus = vcpus < FX_MAX_VCPUS ? vcpus : FX_MAX_VCPUS;
    fx.nr_frames = FX_FRAMES;
    fx.ram = at(FX_OFF_RAM);
    fx.fl = at(FX_OFF_FL);
    fx.gnttab = at(FX_OFF_MISC);
    if ( !hvm )
    {
        fx.m2p = at(FX_OFF_M2P);
        memset(fx.m2p, 0xff, FX_FRAMES * 8);
        fx.shinfo_mfn = PV_SHINFO_MFN;
        fx.fl[PV_SHINFO_MFN] = FX_PRESENT | FX_XENHEAP;
    }
    fx_host_policy();
    fx.tsc.khz = 2400000;
}

int fx_set_blob(struct fx_blob *b, const void *p, size_t len)
{
    uint64_t offset = __atomic_fetch_add(&host.heap, (len + 63) & ~63ull, __ATOMIC_SEQ_CST);

    if ( offset + len > FX_OFF_FL )
        return -ENOMEM;
    b->p = memcpy(at(offset), p, len);
    b->len = len;
    return 0;
}

int fx_log_dirty(void)
{
    fx.dirty_bits = fx.max_gpfn + 1;
    fx.dirty = memset(at(FX_OFF_DIRTY), 0, fx.dirty_bits / 8 + 8);
    fx.logdirty = true;
    return 0;
}

/* For libxlrestore, which has no header of this. */
const char *fakexen_refused(void) { return ram_fd < 0 ? "" : fx.refused; }
