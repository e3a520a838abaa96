/*
 * fakectl: what a toolstack asks of the hypervisor, from the command line,
 * with libfakexen.so preloaded.
 *
 *   fakectl create hvm|pv [VCPUS [KIB]]    prints the domain's id
 *   fakectl suspend DOMID                  the guest suspends itself
 *   fakectl destroy DOMID
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>
#include <xen/sched.h>

static int create(xc_interface *xch, int hvm, unsigned int vcpus, unsigned long kib)
{
    struct xen_domctl_createdomain c = {
        .flags = hvm ? XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap : 0,
        .max_vcpus = vcpus,
        .max_evtchn_port = 1023,
        .max_grant_frames = 64,
        .max_maptrack_frames = 1024,
    };
    uint32_t domid = 0;

    if ( xc_domain_create(xch, &domid, &c) || xc_domain_setmaxmem(xch, domid, kib) )
        return 1;
    printf("%u\n", domid);
    return 0;
}

int main(int argc, char **argv)
{
    xc_interface *xch = xc_interface_open(NULL, NULL, 0);
    uint32_t domid = argc > 2 ? strtoul(argv[2], 0, 0) : 0;

    if ( !xch || argc < 3 )
        return 2;
    if ( !strcmp(argv[1], "create") )
        return create(xch, !strcmp(argv[2], "hvm"), argc > 3 ? strtoul(argv[3], 0, 0) : 1,
                      argc > 4 ? strtoul(argv[4], 0, 0) : 256 << 10);
    if ( !strcmp(argv[1], "suspend") )
        return xc_domain_shutdown(xch, domid, SHUTDOWN_suspend) ? 1 : 0;
    if ( !strcmp(argv[1], "destroy") )
        return xc_domain_destroy(xch, domid) ? 1 : 0;
    return 2;
}
