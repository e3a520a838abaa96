/* The machine as a toolstack asks about it: one processor, one node, a pool. */
#include <errno.h>
#include <string.h>

#include "shared.h"
#include <xen/sysctl.h>
#include <xen/version.h>

/* The number that Xen has for its credit scheduler. */
#define CREDIT  5

static long cpu_policy(struct xen_sysctl_cpu_policy *p)
{
    struct xen_domctl_cpu_policy q = { .nr_leaves = p->nr_leaves,
                                       .nr_msrs = p->nr_msrs };
    long rc;

    if ( !p->leaves.p && !p->msrs.p )
    {
        p->nr_leaves = 160;
        p->nr_msrs = 2;
        return 0;
    }
    q.leaves.p = p->leaves.p;
    q.msrs.p = p->msrs.p;
    rc = get_policy(&q);
    p->nr_leaves = q.nr_leaves;
    p->nr_msrs = q.nr_msrs;
    return rc;
}

static long featureset(struct xen_sysctl_cpu_featureset *f)
{
    if ( f->features.p )
        memset(f->features.p, 0, f->nr_features * 4);
    else
        f->nr_features = 20;
    return 0;
}

static long domains(struct xen_sysctl_getdomaininfolist *l)
{
    unsigned int n = 0;

    if ( n < l->max_domains && l->first_domain == 0 )
        info_of(&l->buffer.p[n++], 0);
    if ( n < l->max_domains && fx.domid != NOBODY && l->first_domain <= fx.domid )
        info_of(&l->buffer.p[n++], fx.domid);
    l->num_domains = n;
    return 0;
}

static long physinfo(struct xen_sysctl_physinfo *p)
{
    memset(p, 0, sizeof(*p));
    p->threads_per_core = p->cores_per_socket = p->nr_cpus = p->nr_nodes = 1;
    p->cpu_khz = 2400000;
    p->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_pv |
                      XEN_SYSCTL_PHYSCAP_hap;
#ifdef XEN_SYSCTL_PHYSCAP_gnttab_v1
    p->capabilities |= XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2;
#endif
    p->total_pages = p->max_mfn = 4ull << 20;
    p->free_pages = 3ull << 20;
    return 0;
}

static long pool(struct xen_sysctl_cpupool_op *p)
{
    if ( p->op != XEN_SYSCTL_CPUPOOL_OP_INFO )
        return 0;
    if ( p->cpupool_id && p->cpupool_id != XEN_SYSCTL_CPUPOOL_PAR_ANY )
        return -ENOENT;
    p->cpupool_id = 0;
    p->sched_id = CREDIT;
    p->n_dom = 1;
    if ( p->cpumap.bitmap.p && p->cpumap.nr_bits )
        *(uint8_t *)p->cpumap.bitmap.p = 1;
    return 0;
}

static long nodes(struct xen_sysctl_numainfo *n)
{
    if ( n->meminfo.p && n->num_nodes )
        n->meminfo.p[0] = (xen_sysctl_meminfo_t){ 16ull << 30, 12ull << 30 };
    if ( n->distance.p && n->num_nodes )
        n->distance.p[0] = 10;
    n->num_nodes = 1;
    return 0;
}

static long topology(struct xen_sysctl_cputopoinfo *t)
{
    if ( t->cputopo.p && t->num_cpus )
        memset(t->cputopo.p, 0, sizeof(*t->cputopo.p));
    t->num_cpus = 1;
    return 0;
}

bool machine_sysctl(struct xen_sysctl *s, long *rc)
{
    if ( s->interface_version != XEN_SYSCTL_INTERFACE_VERSION )
        return false;
    switch ( s->cmd )
    {
    case XEN_SYSCTL_get_cpu_policy:     *rc = cpu_policy(&s->u.cpu_policy); return true;
    case XEN_SYSCTL_get_cpu_featureset: *rc = featureset(&s->u.cpu_featureset); return true;
    case XEN_SYSCTL_getdomaininfolist:  *rc = domains(&s->u.getdomaininfolist); return true;
    case XEN_SYSCTL_physinfo:           *rc = physinfo(&s->u.physinfo); return true;
    case XEN_SYSCTL_cpupool_op:         *rc = pool(&s->u.cpupool_op); return true;
    case XEN_SYSCTL_numainfo:           *rc = nodes(&s->u.numainfo); return true;
    case XEN_SYSCTL_cputopoinfo:        *rc = topology(&s->u.cputopoinfo); return true;
    case XEN_SYSCTL_sched_id:
        s->u.sched_id.sched_id = CREDIT;
        *rc = 0;
        return true;
    }
    return false;
}

long xen_version(unsigned int cmd, void *arg)
{
    switch ( cmd )
    {
    case XENVER_version:        return (4 << 16) | XEN_MINOR;
    case XENVER_pagesize:       return FX_PAGE;
    case XENVER_build_id:       return -ENODATA;
    case XENVER_extraversion:   strcpy(arg, ".0-fake"); return 0;
    case XENVER_changeset:      strcpy(arg, "fake"); return 0;
    case XENVER_commandline:    strcpy(arg, ""); return 0;
    case XENVER_capabilities:
        strcpy(arg, "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ");
        return 0;
    case XENVER_compile_info:
        memset(arg, 0, sizeof(xen_compile_info_t));
        return 0;
    case XENVER_platform_parameters:
        ((xen_platform_parameters_t *)arg)->virt_start = 0xffff800000000000ull;
        return 0;
    case XENVER_get_features:
        ((xen_feature_info_t *)arg)->submap = 0;
        return 0;
    }
    /* Later ones give texts of any length; libxl 4.20 gets along without. */
    return cmd > XENVER_build_id ? -ENOSYS : unknown("xen_version", cmd, 0);
}
