/*
 * libxencall, with the hypercalls that are no domain control and no memory,
 * and the libraries that need only open.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fakexen.h"
#include "hypervisor.h"
#include <xencall.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include <xen/sysctl.h>
#include <xen/version.h>

/* The release that the library is of; a saver writes it into the domain header. */
#define XEN_VERSION     ((4 << 16) | XEN_MINOR)

static long do_sysctl(struct xen_sysctl *s)
{
    trace("sysctl %u", s->cmd);
    if ( s->interface_version != XEN_SYSCTL_INTERFACE_VERSION )
        return -EACCES;
    if ( s->cmd == XEN_SYSCTL_get_cpu_policy )
    {
        s->u.cpu_policy.nr_leaves = 160;
        s->u.cpu_policy.nr_msrs = 2;
        return 0;
    }
    return unknown("sysctl", s->cmd, 0);
}

static long hvm_op(unsigned int op, xen_hvm_param_t *p)
{
    trace("hvm_op %u index %u", op, p->index);
    if ( op != HVMOP_get_param && op != HVMOP_set_param )
        return unknown("hvm_op", op, 0);
    if ( p->domid != fx.domid )
        return -ESRCH;
    if ( !fx.hvm || p->index >= HVM_NR_PARAMS )
        return -EINVAL;
    if ( op == HVMOP_get_param )
    {
        p->value = fx.params[p->index];
        return 0;
    }
    switch ( p->index )
    {
    case HVM_PARAM_PAE_ENABLED: case HVM_PARAM_DM_DOMAIN:
    case HVM_PARAM_NESTEDHVM: case HVM_PARAM_BUFIOREQ_EVTCHN:
    case HVM_PARAM_MEMORY_EVENT_CR0 ... HVM_PARAM_MEMORY_EVENT_INT3:
    case HVM_PARAM_MEMORY_EVENT_SINGLE_STEP: case HVM_PARAM_MEMORY_EVENT_MSR:
        return -EINVAL;         /* retired parameters */
    case HVM_PARAM_VIRIDIAN: case HVM_PARAM_IOREQ_PFN:
    case HVM_PARAM_BUFIOREQ_PFN: case HVM_PARAM_IOREQ_SERVER_PFN:
    case HVM_PARAM_NR_IOREQ_SERVER_PAGES: case HVM_PARAM_ALTP2M:
    case HVM_PARAM_MCA_CAP:     /* set once */
        if ( fx.params[p->index] && fx.params[p->index] != p->value )
            return -EEXIST;
    }
    fx.params[p->index] = p->value;
    return 0;
}

static long mmuext_op(struct mmuext_op *op, unsigned int n)
{
    unsigned int i;

    for ( i = 0; i < n; i++ )
    {
        uint64_t mfn = op[i].arg1.mfn;

        if ( op[i].cmd > MMUEXT_PIN_L4_TABLE )
            return unknown("mmuext_op", op[i].cmd, mfn);
        if ( mfn >= fx.nr_frames || !(fx.fl[mfn] & FX_PRESENT) ||
             (fx.fl[mfn] & FX_XENHEAP) )
            return -EINVAL;
        fx.fl[mfn] = FX_PRESENT | 8 | (op[i].cmd - MMUEXT_PIN_L1_TABLE + 1);
        fx.stats.pins++;
    }
    return 0;
}

/* What a restore asks for by what its stream says, by name. */
static const char *name_of(unsigned int op, uint64_t a1)
{
    if ( op == __HYPERVISOR_mmuext_op )
        return "mmuext_op";
    if ( op == __HYPERVISOR_memory_op )
        return a1 == XENMEM_populate_physmap ? "populate_physmap" : "memory_op";
    if ( op == __HYPERVISOR_hvm_op )
        return a1 == HVMOP_set_param ? "set_param" : "hvm_op";
    if ( op != __HYPERVISOR_domctl )
        return "hypercall";
    switch ( ((const struct xen_domctl *)a1)->cmd )
    {
    case XEN_DOMCTL_set_address_size:       return "set_address_size";
    case XEN_DOMCTL_set_cpu_policy:         return "set_cpu_policy";
    case XEN_DOMCTL_settscinfo:             return "settscinfo";
    case XEN_DOMCTL_sethvmcontext:          return "sethvmcontext";
    case XEN_DOMCTL_setvcpucontext:         return "setvcpucontext";
    case XEN_DOMCTL_set_ext_vcpucontext:    return "set_ext_vcpucontext";
    case XEN_DOMCTL_setvcpuextstate:        return "setvcpuextstate";
    case XEN_DOMCTL_set_vcpu_msrs:          return "set_vcpu_msrs";
    }
    return "domctl";
}

/* A reader that fails after this had no choice: the verdict is the hypervisor's. */
static void note_refusal(unsigned int op, uint64_t a1, uint64_t a2, long rc)
{
    bool some = op == __HYPERVISOR_memory_op && a1 == XENMEM_populate_physmap &&
                rc >= 0 && (uint64_t)rc < ((const xen_memory_reservation_t *)a2)->nr_extents;

    if ( rc < 0 || some )
        snprintf(fx.refused, sizeof(fx.refused), "%s: %s", name_of(op, a1), some ? "no more" : strerror(-rc));
}

static long hypercall(unsigned int op, uint64_t a1, uint64_t a2);

static long multicall(multicall_entry_t *c, uint64_t n)
{
    for ( uint64_t i = 0; i < n; i++ )
        c[i].result = hypercall(c[i].op, c[i].args[0], c[i].args[1]);
    return 0;
}

static long dispatch(unsigned int op, uint64_t a1, uint64_t a2)
{
    switch ( op )
    {
    case __HYPERVISOR_domctl:    return do_domctl((void *)a1);
    case __HYPERVISOR_sysctl:    return do_sysctl((void *)a1);
    case __HYPERVISOR_memory_op: return memory_op(a1, (void *)a2);
    case __HYPERVISOR_hvm_op:    return hvm_op(a1, (void *)a2);
    case __HYPERVISOR_mmuext_op: return mmuext_op((void *)a1, a2);
    case __HYPERVISOR_xen_version:
        return a1 == XENVER_version ? XEN_VERSION
                                    : unknown("xen_version", a1, 0);
    case __HYPERVISOR_multicall: return multicall((void *)a1, a2);
    }
    return unknown("hypercall", op, a1);
}

static long hypercall(unsigned int op, uint64_t a1, uint64_t a2)
{
    long rc = dispatch(op, a1, a2);

    fx.stats.hypercalls++;
    note_refusal(op, a1, a2, rc);
    return rc;
}

static long call(unsigned int op, uint64_t a1, uint64_t a2)
{
    long rc = hypercall(op, a1, a2);

    if ( rc < 0 )
    {
        errno = -rc;
        return -1;
    }
    return rc;
}

xencall_handle *xencall_open(struct xentoollog_logger *, unsigned)
{
    return HANDLE(xencall_handle);
}

int xencall_close(xencall_handle *) { return 0; }
int xencall_fd(xencall_handle *) { return -1; }

/* No hypercall of a save or a restore has a third argument that matters. */
int xencall0(xencall_handle *, unsigned int op)
{
    return call(op, 0, 0);
}

int xencall1(xencall_handle *, unsigned int op, uint64_t a)
{
    return call(op, a, 0);
}

int xencall2(xencall_handle *, unsigned int op, uint64_t a, uint64_t b)
{
    return call(op, a, b);
}

long xencall2L(xencall_handle *, unsigned int op, uint64_t a, uint64_t b)
{
    return call(op, a, b);
}

int xencall3(xencall_handle *, unsigned int op, uint64_t a, uint64_t b,
             uint64_t)
{
    return call(op, a, b);
}

int xencall4(xencall_handle *, unsigned int op, uint64_t a, uint64_t b,
             uint64_t, uint64_t)
{
    return call(op, a, b);
}

int xencall5(xencall_handle *, unsigned int op, uint64_t a, uint64_t b,
             uint64_t, uint64_t, uint64_t)
{
    return call(op, a, b);
}

int xencall_buffers_never_fault(xencall_handle *) { return 1; }

void *xencall_alloc_buffer(xencall_handle *, size_t n)
{
    return calloc(1, n ? n : 1);
}

void xencall_free_buffer(xencall_handle *, void *p) { free(p); }
void xencall_free_buffer_pages(xencall_handle *, void *p, size_t) { free(p); }

void *xencall_alloc_buffer_pages(xencall_handle *, size_t n)
{
    void *p = n ? aligned_alloc(FX_PAGE, n * FX_PAGE) : NULL;

    return p ? memset(p, 0, n * FX_PAGE) : NULL;
}

/* Opened by libxenctrl, and then not used by a save or a restore. */
#define OPENABLE(name) \
    void *name##_open(void *, unsigned) { return &fx; } \
    int name##_close(void *) { return 0; }
OPENABLE(xendevicemodel)
OPENABLE(xenevtchn)
OPENABLE(xengnttab)
OPENABLE(xengntshr)
