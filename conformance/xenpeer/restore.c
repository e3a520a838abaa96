/* Restoring, with those checks that are the hypervisor's and not fakexen's. */
#include <errno.h>

#include "fakexen.h"
#include "peer.h"

/* Xen and libxenguest decode a CPU policy by the same code. */
static int audit_policy(const xen_cpuid_leaf_t *l, unsigned int nl,
                        const xen_msr_entry_t *m, unsigned int nm)
{
    xc_cpu_policy_t *p = xc_cpu_policy_init();
    int rc = 0;

    if ( !p )
        return -ENOMEM;
    if ( (nl && xc_cpu_policy_update_cpuid(xch, p, l, nl)) ||
         (nm && xc_cpu_policy_update_msrs(xch, p, m, nm)) )
        rc = errno ? -errno : -EINVAL;
    xc_cpu_policy_destroy(p);
    return rc;
}

static int checkpoint(void *) { return XGR_CHECKPOINT_SUCCESS; }

static int static_data(unsigned int missing, void *)
{
    if ( missing && opt.verbose )
        fprintf(stderr, "xenpeer: stream lacks static data, mask %#x\n", missing);
    return 0;
}

int restore_stream(int fd, bool remus, unsigned long *store, unsigned long *console)
{
    struct restore_callbacks cb = { .checkpoint = checkpoint, .static_data_done = static_data };

    fx.audit_policy = audit_policy;
    *store = *console = 0;
    return xc_domain_restore(xch, fd, DOMID, XENSTORE_PORT, store, 0, CONSOLE_PORT, console, 0,
                             remus ? XC_STREAM_REMUS : XC_STREAM_PLAIN, &cb, -1);
}
