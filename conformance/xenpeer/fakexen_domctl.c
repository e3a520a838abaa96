/* Domain control: what is known of a domain beside its memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fakexen.h"
#include "hypervisor.h"
#include <xen/domctl.h>
#include <xen/hvm/save.h>

void (*fx_on_clean)(void);
bool fx_wrote_before_last;
int (*fx_audit_policy)(struct xen_domctl_cpu_policy *);

void domain_info(struct xen_domctl_getdomaininfo *i)
{
    memset(i, 0, sizeof(*i));
    i->domain = fx.domid;
    i->flags = fx.hvm ? XEN_DOMINF_hvm_guest | XEN_DOMINF_hap : 0;
    if ( fx.shutdown )
        i->flags |= XEN_DOMINF_shutdown | XEN_DOMINF_paused |
                    (SHUTDOWN_suspend << XEN_DOMINF_shutdownshift);
    else
        i->flags |= XEN_DOMINF_running;
    i->tot_pages = fx.tot_pages;
    i->max_pages = fx.max_pages;
    i->shared_info_frame = fx.hvm ? FX_NO_FRAME : fx.shinfo_mfn;
    i->nr_online_vcpus = fx.nr_vcpus;
    i->max_vcpu_id = fx.nr_vcpus - 1;
#if XEN_MINOR >= 15
    i->gpaddr_bits = 48;
#endif
}

static long getinfo(struct xen_domctl *d)
{
    if ( d->domain > fx.domid )
        return -ESRCH;
    d->domain = fx.domid;
    domain_info(&d->u.getdomaininfo);
    return 0;
}

static long getpageframeinfo(struct xen_domctl_getpageframeinfo3 *g)
{
    unsigned int i;

    if ( g->num > 1024 )
        return -E2BIG;
    for ( i = 0; i < g->num; i++ )
    {
        uint64_t f = g->array.p[i];
        uint8_t fl = f < fx.nr_frames ? fx.fl[f] : 0;

        if ( fl & FX_XENHEAP || !(fl & (FX_PRESENT | FX_TYPE_MASK)) )
            fl = 0xf;
        g->array.p[i] = (xen_pfn_t)(fl & FX_TYPE_MASK) << 28;
    }
    return 0;
}

static long shadow_op(struct xen_domctl_shadow_op *s)
{
    uint64_t i, bytes, count = 0;

    switch ( s->op )
    {
    case XEN_DOMCTL_SHADOW_OP_OFF:
        fx.logdirty = false;
        return 0;

    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
        return fx.logdirty ? -EINVAL : fx_log_dirty();

    case XEN_DOMCTL_SHADOW_OP_CLEAN:
    case XEN_DOMCTL_SHADOW_OP_PEEK:
        if ( !fx.logdirty )
            return -EINVAL;
        if ( fx_on_clean && s->op == XEN_DOMCTL_SHADOW_OP_CLEAN &&
             (fx_wrote_before_last ||
              !(s->mode & XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL)) )
            fx_on_clean();
        if ( s->pages > fx.dirty_bits )
            s->pages = fx.dirty_bits;
        bytes = (s->pages + 7) / 8;
        for ( i = 0; i < bytes; i++ )
            count += __builtin_popcount(fx.dirty[i]);
        if ( s->dirty_bitmap.p )
            memcpy(s->dirty_bitmap.p, fx.dirty, bytes);
        if ( s->op == XEN_DOMCTL_SHADOW_OP_CLEAN )
            memset(fx.dirty, 0, fx.dirty_bits / 8 + 8);
        s->stats.fault_count = s->stats.dirty_count = count;
        return 0;
    }
    return unknown("shadow_op", s->op, s->mode);
}

long get_policy(struct xen_domctl_cpu_policy *p)
{
    if ( (p->leaves.p && p->nr_leaves < fx.nr_leaves) ||
         (p->msrs.p && p->nr_msrs < fx.nr_msrs) )
        return -ENOBUFS;
    p->nr_leaves = fx.nr_leaves;
    p->nr_msrs = fx.nr_msrs;
    if ( p->leaves.p )
        memcpy(p->leaves.p, fx.leaves, fx.nr_leaves * sizeof(fx.leaves[0]));
    if ( p->msrs.p )
        memcpy(p->msrs.p, fx.msrs, fx.nr_msrs * sizeof(fx.msrs[0]));
    return 0;
}

static long set_policy(struct xen_domctl_cpu_policy *p)
{
    int rc;

    if ( p->nr_leaves > 512 || p->nr_msrs > 16 )
        return -E2BIG;
    if ( fx_audit_policy && (rc = fx_audit_policy(p)) )
        return rc;
    /* A list that is empty changes nothing. */
    if ( p->nr_leaves )
        memcpy(fx.leaves, p->leaves.p, p->nr_leaves * sizeof(fx.leaves[0]));
    if ( p->nr_msrs )
        memcpy(fx.msrs, p->msrs.p, p->nr_msrs * sizeof(fx.msrs[0]));
    fx.nr_leaves = p->nr_leaves ? p->nr_leaves : fx.nr_leaves;
    fx.nr_msrs = p->nr_msrs ? p->nr_msrs : fx.nr_msrs;
    return 0;
}

/* What any Xen insists on: a header first, whole records, an end marker. */
static long check_hvm_context(const uint8_t *p, size_t len)
{
    struct hvm_save_descriptor d;
    struct hvm_save_header h;
    size_t off = 0;

    for ( ; ; )
    {
        if ( len - off < sizeof(d) )
            return -ENODATA;
        memcpy(&d, p + off, sizeof(d));
        off += sizeof(d);
        if ( d.typecode == 0 && off != sizeof(d) )  /* whatever length it gives */
            return 0;
        if ( d.length > len - off )
            return -ENODATA;
        if ( off == sizeof(d) )
        {
            if ( d.typecode != HVM_SAVE_CODE(HEADER) || d.length != sizeof(h) )
                return -ENODATA;
            memcpy(&h, p + off, sizeof(h));
            if ( h.magic != HVM_FILE_MAGIC || h.version != HVM_FILE_VERSION )
                return -EINVAL;
        }
        else if ( d.typecode > HVM_SAVE_CODE_MAX )
            return -EINVAL;
        off += d.length;
    }
}

static long vcpu_op(struct xen_domctl *d)
{
    /* Every vcpu domctl starts its payload with a 32 bit vcpu id. */
    uint32_t id = *(uint32_t *)&d->u;
    struct xen_domctl_vcpuextstate *x = &d->u.vcpuextstate;
    struct xen_domctl_vcpu_msrs *m = &d->u.vcpu_msrs;

    if ( id >= fx.nr_vcpus )
        return -ENOENT;
    switch ( d->cmd )
    {
    case XEN_DOMCTL_getvcpuinfo:
        memset(&d->u.getvcpuinfo, 0, sizeof(d->u.getvcpuinfo));
        d->u.getvcpuinfo.vcpu = id;
        d->u.getvcpuinfo.online = fx.vcpu[id].online;
        return 0;

    case XEN_DOMCTL_getvcpucontext:
        if ( !fx.vcpu[id].basic.len )
            return -ENODATA;
        memcpy(d->u.vcpucontext.ctxt.p, fx.vcpu[id].basic.p,
               fx.vcpu[id].basic.len);
        return 0;

    case XEN_DOMCTL_setvcpucontext:
        fx.vcpu[id].online = true;
        return fx_set_blob(&fx.vcpu[id].basic, d->u.vcpucontext.ctxt.p,
                           sizeof(vcpu_guest_context_t));

    case XEN_DOMCTL_get_ext_vcpucontext:
        memset(&d->u.ext_vcpucontext, 0, sizeof(d->u.ext_vcpucontext));
        if ( fx.vcpu[id].ext.len )
            memcpy(&d->u.ext_vcpucontext, fx.vcpu[id].ext.p,
                   fx.vcpu[id].ext.len);
        d->u.ext_vcpucontext.vcpu = id;
        d->u.ext_vcpucontext.size = fx.vcpu[id].ext.len;
        return 0;

    case XEN_DOMCTL_set_ext_vcpucontext:
        if ( d->u.ext_vcpucontext.size > sizeof(d->u.ext_vcpucontext) )
            return -EINVAL;
        return fx_set_blob(&fx.vcpu[id].ext, &d->u.ext_vcpucontext,
                           d->u.ext_vcpucontext.size);

    case XEN_DOMCTL_getvcpuextstate:
        if ( !x->size && !x->xfeature_mask )
        {
            x->xfeature_mask = fx.vcpu[id].xmask;
            x->size = fx.vcpu[id].xsave.len;
            return 0;
        }
        if ( x->size < fx.vcpu[id].xsave.len )
            return -EINVAL;
        x->size = fx.vcpu[id].xsave.len;
        memcpy(x->buffer.p, fx.vcpu[id].xsave.p, x->size);
        return 0;

    case XEN_DOMCTL_setvcpuextstate:
        return fx_set_blob(&fx.vcpu[id].xsave, x->buffer.p, x->size);

    case XEN_DOMCTL_get_vcpu_msrs:
        if ( m->msrs.p )
            memcpy(m->msrs.p, fx.vcpu[id].msrs.p, fx.vcpu[id].msrs.len);
        m->msr_count = fx.vcpu[id].msrs.len / sizeof(xen_domctl_vcpu_msr_t);
        return 0;

    case XEN_DOMCTL_set_vcpu_msrs:
        return fx_set_blob(&fx.vcpu[id].msrs, m->msrs.p,
                           m->msr_count * sizeof(xen_domctl_vcpu_msr_t));
    }
    return unknown("vcpu domctl", d->cmd, id);
}

long do_domctl(struct xen_domctl *d)
{
    trace("domctl %u dom %u", d->cmd, d->domain);
    if ( d->interface_version != XEN_DOMCTL_INTERFACE_VERSION )
        return -EACCES;
    if ( d->cmd == XEN_DOMCTL_getdomaininfo )
        return getinfo(d);
    if ( d->domain != fx.domid )
        return -ESRCH;

    switch ( d->cmd )
    {
    case XEN_DOMCTL_getpageframeinfo3:
        return getpageframeinfo(&d->u.getpageframeinfo3);
    case XEN_DOMCTL_shadow_op:
        return shadow_op(&d->u.shadow_op);
    case XEN_DOMCTL_get_cpu_policy:
        return get_policy(&d->u.cpu_policy);
    case XEN_DOMCTL_set_cpu_policy:
        return set_policy(&d->u.cpu_policy);

    case XEN_DOMCTL_gettscinfo:
        d->u.tsc_info.tsc_mode = fx.tsc.mode;
        d->u.tsc_info.gtsc_khz = fx.tsc.khz;
        d->u.tsc_info.incarnation = fx.tsc.incarnation;
        d->u.tsc_info.elapsed_nsec = fx.tsc.nsec;
        return 0;
    case XEN_DOMCTL_settscinfo:
        if ( d->u.tsc_info.tsc_mode > 2 )
            return -EINVAL;
        fx.tsc.mode = d->u.tsc_info.tsc_mode;
        fx.tsc.khz = d->u.tsc_info.gtsc_khz;
        fx.tsc.incarnation = d->u.tsc_info.incarnation;
        fx.tsc.nsec = d->u.tsc_info.elapsed_nsec;
        return 0;

    case XEN_DOMCTL_gethvmcontext:
    {
        struct xen_domctl_hvmcontext *h = &d->u.hvmcontext;

        if ( !fx.hvm )
            return -EINVAL;
        if ( h->buffer.p )
        {
            if ( h->size < fx.hvmctx.len )
                return -ENOSPC;
            memcpy(h->buffer.p, fx.hvmctx.p, fx.hvmctx.len);
        }
        h->size = fx.hvmctx.len;
        return 0;
    }
    case XEN_DOMCTL_sethvmcontext:
    {
        struct xen_domctl_hvmcontext *h = &d->u.hvmcontext;
        long rc = !fx.hvm || !h->buffer.p ? -EINVAL
                  : check_hvm_context(h->buffer.p, h->size);

        return rc ? rc : fx_set_blob(&fx.hvmctx, h->buffer.p, h->size);
    }

    case XEN_DOMCTL_get_address_size:
        d->u.address_size.size = 64;
        return 0;
    case XEN_DOMCTL_set_address_size:   /* no 32 bit PV guests here */
        return d->u.address_size.size == 64 ? 0 : -EINVAL;

    case XEN_DOMCTL_getvcpuinfo:
    case XEN_DOMCTL_getvcpucontext:     case XEN_DOMCTL_setvcpucontext:
    case XEN_DOMCTL_get_ext_vcpucontext: case XEN_DOMCTL_set_ext_vcpucontext:
    case XEN_DOMCTL_getvcpuextstate:    case XEN_DOMCTL_setvcpuextstate:
    case XEN_DOMCTL_get_vcpu_msrs:      case XEN_DOMCTL_set_vcpu_msrs:
        return vcpu_op(d);
    }
    return unknown("domctl", d->cmd, d->domain);
}
