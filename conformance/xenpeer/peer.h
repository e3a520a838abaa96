/* What the parts of xenpeer share. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <xenctrl.h>
#include <xenguest.h>

#define DOMID           5u
#define XENSTORE_PORT   11u
#define CONSOLE_PORT    12u

/* Frames of the machine a stream is restored on: more than any test needs.
 * An HVM one costs nothing unless used; a PV one has a table by frame to fill,
 * and judging many streams has no time for a large one. */
#define HVM_FRAMES          (1ull << 30)
#define PV_FRAMES           (1ull << 20)
#define PV_FRAMES_JUDGED    (1ull << 17)

/* Where a real HVM guest has its special pages. */
#define REAL_SPECIAL_PFN    0xfeff8ull

/* A PV guest's top table, where Xen's own entries are. */
#define XEN_SLOT_FIRST      256
#define XEN_SLOT_END        272

/* main.c: the command line. */
extern struct options {
    bool save, pv, live, verify, tag, real_layout, p2m_list, quiet, verbose,
         no_digest, sink;
    xc_stream_type_t type;
    int back;                   /* COLO: the back channel's descriptor */
    unsigned int iterations, checkpoints, vcpus;
    uint64_t pages, holes, dirty, seed, max_pages;
    const char *file, *json, *dump;
} opt;

extern xc_interface *xch;

uint64_t machine_size(void);

/* content.c */
#define FNV_BASIS 0xcbf29ce484222325ull
uint64_t base(uint64_t what, uint64_t version);     /* a seed of its own for each */
void fill(void *p, size_t bytes, uint64_t b, bool same);
void write_page(uint64_t pfn, uint64_t frame);
uint64_t fnv(uint64_t h, const void *p, size_t bytes);

/* guest.c */
extern struct guest {
    uint64_t ram_pages;             /* ordinary RAM is [0, ram_pages) */
    uint32_t *version;              /* by pfn: how often rewritten */
    uint64_t *p2m;                  /* PV: by pfn */
    uint64_t first_data_pfn;        /* pages below are PV furniture */
    uint64_t p2m_leaf0, nr_leaves;  /* PV: pfns of the p2m leaves */
} guest;
bool is_hole(uint64_t pfn);
void cpu_policy(void);
void guest_runs(void);      /* for a while: rewrites some pages, populates one hole */
void *zeroed(size_t n, size_t size);    /* memory, or the end */
void no_memory(void) __attribute__((noreturn));

void build_guest(void);
void build_hvm(void);
void build_pv(void);

/* save.c, restore.c: the library's calls, on the machine of fakexen.h. */
int save_stream(int fd);
extern bool lists_done;        /* COLO without a number of checkpoints: all lists of the back channel were taken */
int restore_stream(int fd, unsigned long *store, unsigned long *console);

/* state.c: the domain as JSON. */
struct outcome {
    const char *result;
    int rc, err;
    off_t offset;
    double seconds;
    uint64_t store, console;    /* frames of the rings, of a restore */
};
int report(FILE *f, const struct outcome *o);
void put_blob(FILE *f, const char *name, const void *p, size_t len, const char *end);

/* state_pv.c */
uint64_t to_pfn(uint64_t mfn);
void survey_pv(void);               /* before what follows */
uint64_t pv_frame(uint64_t pfn);
void canonical_pv(uint64_t pfn, uint64_t *page);
void put_pv(FILE *f);

/* heap.c: whether memory that was never written has known content. */
extern bool heap_filled;

/* judge.c: judge the streams that standard input brings; the exit status. */
int judge(void);

#endif
