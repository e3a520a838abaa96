/* Hypercalls about a domain that a toolstack makes, and libxenguest does not. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "shared.h"
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>

void info_of(struct xen_domctl_getdomaininfo *i, uint32_t domid)
{
    if ( domid )
    {
        domain_info(i);
        if ( host.paused && !fx.shutdown )
            i->flags = (i->flags & ~XEN_DOMINF_running) | XEN_DOMINF_paused;
        i->ssidref = host.ssid;
        memcpy(i->handle, host.handle, sizeof(host.handle));
        return;
    }
    memset(i, 0, sizeof(*i));
    i->flags = XEN_DOMINF_running;
    i->tot_pages = i->max_pages = 1 << 18;
    i->nr_online_vcpus = 1;
}

static long getinfo(struct xen_domctl *d)
{
    if ( d->domain && (fx.domid == NOBODY || d->domain > fx.domid) )
        return -ESRCH;
    if ( d->domain )
        d->domain = fx.domid;
    info_of(&d->u.getdomaininfo, d->domain);
    return 0;
}

static long create(struct xen_domctl *d)
{
    struct xen_domctl_createdomain *c = &d->u.createdomain;
    uint32_t id = d->domain && d->domain < DOMID_FIRST_RESERVED ? d->domain
                                                                 : host.next_domid;

    blank_domain(id, c->flags & XEN_DOMCTL_CDF_hvm, c->max_vcpus);
    host.next_domid = id + 1;
    host.ssid = c->ssidref;
    memcpy(host.handle, c->handle, sizeof(host.handle));
    d->domain = id;
    return 0;
}

static bool shadow_op(struct xen_domctl_shadow_op *s)
{
    if ( s->op == XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION )
        host.pool_mb = s->mb;
    else if ( s->op == XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION )
        s->mb = host.pool_mb;
    else
        return false;
    return true;
}

static void scheduler_op(struct xen_domctl_scheduler_op *s)
{
    if ( s->cmd != XEN_DOMCTL_SCHEDOP_getinfo )
        return;
    s->u.credit.weight = 256;
    s->u.credit.cap = 0;
}

/* What is the domain's as a whole; false for what fakexen_domctl.c knows. */
static bool lifetime(struct xen_domctl *d, long *rc)
{
    *rc = 0;
    switch ( d->cmd )
    {
    case XEN_DOMCTL_destroydomain:  fx.domid = NOBODY; return true;
    case XEN_DOMCTL_pausedomain:    host.paused = true; return true;
    case XEN_DOMCTL_unpausedomain:  host.paused = false; return true;
    case XEN_DOMCTL_resumedomain:   fx.shutdown = false; return true;
    case XEN_DOMCTL_max_mem:
        fx.max_pages = d->u.max_mem.max_memkb / 4;
        return true;
    case XEN_DOMCTL_max_vcpus:
        fx.nr_vcpus = d->u.max_vcpus.max;
        *rc = fx.nr_vcpus && fx.nr_vcpus <= FX_MAX_VCPUS ? 0 : -EINVAL;
        return true;
    case XEN_DOMCTL_setdomainhandle:
        memcpy(host.handle, d->u.setdomainhandle.handle, sizeof(host.handle));
        return true;
    }
    return false;
}

static bool domctl(struct xen_domctl *d, long *rc)
{
    *rc = 0;
    switch ( d->cmd )
    {
    case XEN_DOMCTL_shadow_op:      return shadow_op(&d->u.shadow_op);
    case XEN_DOMCTL_scheduler_op:   scheduler_op(&d->u.scheduler_op); return true;
#ifdef XEN_DOMCTL_set_paging_mempool_size
    case XEN_DOMCTL_set_paging_mempool_size:
        host.pool_mb = d->u.paging_mempool.size >> 20;
        return true;
    case XEN_DOMCTL_get_paging_mempool_size:
        d->u.paging_mempool.size = host.pool_mb << 20;
        return true;
#endif
    /* Of no consequence here. */
    case XEN_DOMCTL_getvcpuaffinity:    case XEN_DOMCTL_setvcpuaffinity:
    case XEN_DOMCTL_setnodeaffinity:    case XEN_DOMCTL_settimeoffset:
    case XEN_DOMCTL_ioport_permission:  case XEN_DOMCTL_iomem_permission:
    case XEN_DOMCTL_irq_permission:     case XEN_DOMCTL_memory_mapping:
    case XEN_DOMCTL_set_target:         case XEN_DOMCTL_setvnumainfo:
        return true;
#ifdef XEN_DOMCTL_set_llc_colors
    case XEN_DOMCTL_set_llc_colors:     *rc = -EOPNOTSUPP; return true;
#endif
    }
    return lifetime(d, rc);
}

static bool domain_call(struct xen_domctl *d, long *rc)
{
    if ( d->interface_version != XEN_DOMCTL_INTERFACE_VERSION )
        return false;
    if ( d->cmd == XEN_DOMCTL_getdomaininfo )
        *rc = getinfo(d);
    else if ( d->cmd == XEN_DOMCTL_createdomain )
        *rc = create(d);
    else
        return fx.domid == d->domain && domctl(d, rc);
    return true;
}

static bool memory_call(unsigned int cmd, long *rc)
{
    *rc = 0;
    switch ( cmd )
    {
    case XENMEM_set_memory_map:         case XENMEM_claim_pages:
    case XENMEM_get_sharing_freed_pages: case XENMEM_get_sharing_shared_pages:
        return true;
    case XENMEM_get_vnumainfo:
        *rc = -EOPNOTSUPP;
        return true;
    }
    return false;
}

static long evtchn_op(unsigned int cmd, void *arg)
{
    switch ( cmd )
    {
    case EVTCHNOP_alloc_unbound:
        ((struct evtchn_alloc_unbound *)arg)->port = host.next_port++;
        return 0;
    case EVTCHNOP_close: case EVTCHNOP_reset: case EVTCHNOP_send:
        return 0;
    case EVTCHNOP_status:
        ((struct evtchn_status *)arg)->status = EVTCHNSTAT_unbound;
        return 0;
    }
    return unknown("event_channel_op", cmd, 0);
}

bool toolstack_call(unsigned int op, uint64_t a1, uint64_t a2, long *rc)
{
    switch ( op )
    {
    case __HYPERVISOR_domctl:       return domain_call((void *)a1, rc);
    case __HYPERVISOR_sysctl:       return machine_sysctl((void *)a1, rc);
    case __HYPERVISOR_memory_op:    return memory_call(a1, rc);
    case __HYPERVISOR_xen_version:  *rc = xen_version(a1, (void *)a2); return true;
    case __HYPERVISOR_event_channel_op: *rc = evtchn_op(a1, (void *)a2); return true;
    case __HYPERVISOR_xsm_op:       *rc = -ENOSYS; return true;    /* no flask */
    case __HYPERVISOR_sched_op:
        if ( a1 != SCHEDOP_remote_shutdown )
            return false;
        fx.shutdown = true;
        raise_virq();
        *rc = 0;
        return true;
    }
    return false;
}
