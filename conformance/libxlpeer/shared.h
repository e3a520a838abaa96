/* The fake hypervisor of several processes: its state lies in a file. */
#ifndef SHARED_H
#define SHARED_H

#include <stdint.h>
#include "../xenpeer/fakexen.h"
#include "../xenpeer/hypervisor.h"

#define FX_FRAMES       ((1ull << 20) + PV_MFN_BASE)

/* Layout of the file, which each process maps at FX_BASE. */
#define FX_OFF_HOST     (512ull << 10)
#define FX_OFF_HEAP     (1ull << 20)
#define FX_OFF_FL       (64ull << 20)
#define FX_OFF_DIRTY    (68ull << 20)
#define FX_OFF_M2P      (70ull << 20)
#define FX_M2P_BYTES    (12ull << 20)
#define FX_OFF_MISC     (96ull << 20)
#define FX_OFF_RAM      (128ull << 20)
#define FX_FILE_BYTES   (FX_OFF_RAM + FX_FRAMES * FX_PAGE)

/* No domain has this number. */
#define NOBODY          (~0u)

/* What a toolstack asks of beside what `fx` has of the domain. */
struct fake_host {
    uint64_t magic;
    uint64_t heap;              /* where the next blob goes, an offset */
    uint32_t next_domid, next_port;
    bool paused;
    uint32_t ssid;
    uint8_t handle[16];
    uint64_t pool_mb;
};
#define host (*(struct fake_host *)(FX_BASE + FX_OFF_HOST))

/* shared.c: one domain at a time; a new one takes the place of the last. */
void blank_domain(uint32_t id, bool hvm, unsigned int vcpus);

/* toolstack.c */
bool toolstack_call(unsigned int op, uint64_t a1, uint64_t a2, long *rc);
void info_of(struct xen_domctl_getdomaininfo *i, uint32_t domid);

/* machine.c: what is asked of the machine and not of a domain. */
struct xen_sysctl;
bool machine_sysctl(struct xen_sysctl *s, long *rc);
long xen_version(unsigned int cmd, void *arg);

/* ports.c: VIRQ_DOM_EXC is raised. */
void raise_virq(void);

#endif
