/*
 * Two functions of libxenctrl as xen-hvmctx calls them, for LD_PRELOAD: the HVM context of the domain is the file that
 * the environment variable HVM_CONTEXT names.  They stand in for a hypervisor, whose structures they do not know.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct xc_interface_core xc_interface;

xc_interface *xc_interface_open(void *log, void *domctl_log, unsigned flags)
{
    static char some;

    (void)log, (void)domctl_log, (void)flags;
    return (xc_interface *)&some;
}

int xc_interface_close(xc_interface *xch)
{
    (void)xch;
    return 0;
}

/* The size of the context, or the context itself in a buffer that has room for it. */
int xc_domain_hvm_getcontext(xc_interface *xch, uint32_t domid, uint8_t *buffer, uint32_t size)
{
    const char *name = getenv("HVM_CONTEXT");
    FILE *file = name ? fopen(name, "rb") : NULL;
    long length = -1;

    (void)xch, (void)domid;
    if (file && !fseek(file, 0, SEEK_END))
        length = ftell(file);
    if (length >= 0 && buffer) {
        rewind(file);
        if (length > (long)size || fread(buffer, 1, length, file) != (size_t)length)
            length = -1;
    }
    if (file)
        fclose(file);
    return (int)length;
}
