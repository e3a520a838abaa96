/* Restoring, with those checks that are the hypervisor's and not fakexen's. */
#include <errno.h>

#include "fakexen.h"
#include "peer.h"

/* Xen and libxenguest decode a CPU policy by the same code, which libxenguest exports in every release so far and
 * declares in no header: what xenguest.h has for it came with 4.16.  In its place below a policy, or more, is decoded. */
int x86_cpuid_copy_from_buffer(void *policy, const xen_cpuid_leaf_t *, uint32_t nr, uint32_t *leaf, uint32_t *subleaf);
int x86_msr_copy_from_buffer(void *policy, const xen_msr_entry_t *, uint32_t nr, uint32_t *msr);
#define POLICY_SIZE 16384

static int audit_policy(struct xen_domctl_cpu_policy *p)
{
    static uint64_t policy[POLICY_SIZE / sizeof(uint64_t)];
    int rc = 0;

    p->err_leaf = p->err_subleaf = p->err_msr = ~0u;
    if ( p->nr_leaves )
        rc = x86_cpuid_copy_from_buffer(policy, p->leaves.p, p->nr_leaves, &p->err_leaf, &p->err_subleaf);
    if ( !rc && p->nr_msrs )
        rc = x86_msr_copy_from_buffer(policy, p->msrs.p, p->nr_msrs, &p->err_msr);
    return rc;
}

static int checkpoint(void *) { return XGR_CHECKPOINT_SUCCESS; }

static int static_data(unsigned int missing, void *)
{
    if ( missing && opt.verbose )
        fprintf(stderr, "xenpeer: stream lacks static data, mask %#x\n", missing);
    return 0;
}

/* A COLO secondary runs between checkpoints, and reports the pages that it has written. */
static int colo_run(void *)
{
    static unsigned int rounds;

    rounds++;
    if ( !fx.logdirty && fx_log_dirty() )
        return 0;
    for ( uint64_t i = 0; i < opt.dirty; i++ )
        fx_mark_dirty(16 + rounds * 8 + i);
    return 1;
}

static int yes(void *) { return 1; }

static void results(xen_pfn_t, xen_pfn_t, void *) {}

int restore_stream(int fd, unsigned long *store, unsigned long *console)
{
    struct restore_callbacks cb = { .checkpoint = checkpoint, .static_data_done = static_data };

    if ( opt.type == XC_STREAM_COLO )
    {
        cb.suspend = cb.wait_checkpoint = yes;
        cb.postcopy = colo_run;
        cb.restore_results = results;
        /* The toolstack has made the guest as large as the primary's. */
        fx.max_gpfn = opt.pages + 7;
    }
    fx.audit_policy = audit_policy;
    *store = *console = 0;
    return xc_domain_restore(xch, fd, DOMID, XENSTORE_PORT, store, 0, CONSOLE_PORT, console, 0, opt.type, &cb, opt.back);
}
