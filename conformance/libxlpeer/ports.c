/*
 * libxenevtchn and libxengnttab, all but inert.  Only VIRQ_DOM_EXC ever
 * arrives, at xenstored, through a fifo next to the state file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared.h"
#include <xen/event_channel.h>

static evtchn_port_t virq_port;

static int virq_fifo(void)
{
    const char *state = getenv("FAKEXEN_STATE");
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s.virq", state ? state : "");
    mkfifo(path, 0600);
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

void raise_virq(void)
{
    int fd = virq_fifo();

    if ( fd < 0 || write(fd, "!", 1) != 1 )
        perror("fakexen: virq");
    close(fd);
}

void *xenevtchn_open(void *, unsigned)
{
    int *fd = malloc(sizeof(*fd));

    if ( fd )
        *fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd;
}

void *xenevtchn_fdopen(void *l, int, unsigned f) { return xenevtchn_open(l, f); }

int xenevtchn_close(void *h)
{
    if ( h )
        close(*(int *)h);
    free(h);
    return 0;
}

int xenevtchn_fd(void *h) { return *(int *)h; }
int xenevtchn_notify(void *, evtchn_port_t) { return 0; }
int xenevtchn_unbind(void *, evtchn_port_t) { return 0; }
int xenevtchn_unmask(void *, evtchn_port_t) { return 0; }
int xenevtchn_restrict(void *, domid_t) { return 0; }
int xenevtchn_bind_unbound_port(void *, uint32_t) { return host.next_port++; }

int xenevtchn_bind_interdomain(void *, uint32_t, evtchn_port_t)
{
    return host.next_port++;
}

int xenevtchn_bind_virq(void *h, unsigned)
{
    int fd = virq_fifo();

    dup2(fd, *(int *)h);
    close(fd);
    virq_port = host.next_port++;
    return virq_port;
}

int xenevtchn_pending(void *h)
{
    char c;

    if ( read(*(int *)h, &c, 1) == 1 && virq_port )
        return virq_port;
    errno = EAGAIN;
    return -1;
}

static void *blank(size_t pages)
{
    void *p = mmap(NULL, pages * FX_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

int xengnttab_set_max_grants(void *, uint32_t) { return 0; }
void *xengnttab_map_grant_ref(void *, uint32_t, uint32_t, int) { return blank(1); }
int xengnttab_unmap(void *, void *p, uint32_t n) { return munmap(p, n * FX_PAGE); }
void *xenhypfs_open(void *, unsigned) { return HANDLE(void); }
int xenhypfs_close(void *) { return 0; }
