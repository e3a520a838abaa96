/* What the parts of fakexen share and nothing else sees. */
#ifndef HYPERVISOR_H
#define HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <xenctrl.h>

/* The files behind the memory, and behind the machine-to-physical table of a
 * PV domain, so that mappings of them are the machine's and not copies. */
extern int ram_fd, m2p_fd;
extern uint64_t ram_at, m2p_at, m2p_bytes;

#define PV_MFN_BASE     0x400ull    /* first mfn handed to a PV guest */
#define PV_SHINFO_MFN   0x40ull

/* The release of Xen that this passes for, 4.XEN_MINOR. */
#ifndef XEN_MINOR
#define XEN_MINOR 17
#endif

/* Optional: asked first about each hypercall, for what only a toolstack asks.
 * Whether it knows that one; *rc is then the result. */
extern bool (*more_calls)(unsigned int op, uint64_t a1, uint64_t a2, long *rc);

/* What a library calls a handle is of no concern here. */
#define HANDLE(type) ((type *)&fx)

/* A hypercall's result is Xen's: below zero, minus an error number. */
long memory_op(unsigned int cmd, void *arg);
long do_domctl(struct xen_domctl *d);
long get_policy(struct xen_domctl_cpu_policy *p);
void domain_info(struct xen_domctl_getdomaininfo *i);

/* Say what was asked, if FAKEXEN_TRACE is in the environment. */
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Refuse what this hypervisor does not know, and say so. */
long unknown(const char *what, unsigned long a, unsigned long b);

#endif
