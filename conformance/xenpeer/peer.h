/* What the parts of xenpeer share. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <xenctrl.h>
#include <xenguest.h>

#define DOMID           5u
#define XENSTORE_PORT   11u
#define CONSOLE_PORT    12u

extern xc_interface *xch;

/* Frames of the machine a stream is restored on: more than any test needs.  An HVM one costs nothing unless used;
 * a PV one has a table by frame to fill, and judging many streams has no time for a large one. */
#define HVM_FRAMES          (1ull << 30)
#define PV_FRAMES           (1ull << 20)
#define PV_FRAMES_JUDGED    (1ull << 17)

/* xc_domain_restore() on the machine of fakexen.h; the rings' frames go to *store and *console. */
int restore_stream(int fd, bool pv, bool remus, unsigned long *store, unsigned long *console);

/* Judge the streams that standard input brings; the exit status. */
int judge(void);

#endif
