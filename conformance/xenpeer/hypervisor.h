/* What the parts of fakexen share and nothing else sees. */
#ifndef HYPERVISOR_H
#define HYPERVISOR_H

#include <stdint.h>
#include <xenctrl.h>

/* The files behind the memory, and behind the machine-to-physical table of a
 * PV domain, so that mappings of them are the machine's and not copies. */
extern int ram_fd, m2p_fd;
extern uint64_t m2p_bytes;

/* What a library calls a handle is of no concern here. */
#define HANDLE(type) ((type *)&fx)

/* A hypercall's result is Xen's: below zero, minus an error number. */
long memory_op(unsigned int cmd, void *arg);
long do_domctl(struct xen_domctl *d);

/* Say what was asked, if FAKEXEN_TRACE is in the environment. */
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Refuse what this hypervisor does not know, and say so. */
long unknown(const char *what, unsigned long a, unsigned long b);

#endif
