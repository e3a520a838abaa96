/* The CPU policy of the fake machine. */
#include <string.h>

#include "fakexen.h"

#define PLAIN(n, a, b, c, d) { n, XEN_CPUID_NO_SUBLEAF, a, b, c, d }
#define EMPTY(n) PLAIN(n, 0, 0, 0, 0)

/* A machine of 2016: enough of one for libxenguest to decode. */
void fx_host_policy(void)
{
    static const xen_cpuid_leaf_t basic[] = {
        PLAIN(0, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69),
        PLAIN(1, 0x000406f1, 0x00010800, 0xf7fa3203, 0x0f8bfbff),
        PLAIN(2, 0x76036301, 0x00f0b5ff, 0, 0x00c30000),
        EMPTY(3), { 4, 0, 0, 0, 0, 0 }, EMPTY(5), EMPTY(6),
        { 7, 0, 0, 0x001c6fbb, 0, 0x9c000000 },
        EMPTY(8), EMPTY(9), EMPTY(10), { 11, 0, 0, 0, 0, 0 }, EMPTY(12),
        { 13, 0, 7, 0x340, 0x340, 0 }, { 13, 1, 1, 0, 0, 0 },
        { 13, 2, 0x100, 0x240, 0, 0 },
        EMPTY(0x40000000), EMPTY(0x40000100),
        PLAIN(0x80000000, 0x80000008, 0, 0, 0),
        PLAIN(0x80000001, 0, 0, 0x121, 0x2c100800),
        PLAIN(0x80000002, 0x656b6146, 0x6e655820, 0, 0),
        EMPTY(0x80000003), EMPTY(0x80000004), EMPTY(0x80000005),
        EMPTY(0x80000006), EMPTY(0x80000007),
        PLAIN(0x80000008, 0x3030, 0, 0, 0),
    };

    memcpy(fx.leaves, basic, sizeof(basic));
    fx.nr_leaves = sizeof(basic) / sizeof(basic[0]);
    fx.msrs[0] = (xen_msr_entry_t){ .idx = 0xce, .val = 0x80000000 };
    fx.msrs[1] = (xen_msr_entry_t){ .idx = 0x10a, .val = 0x6b };
    fx.nr_msrs = 2;
}
