/*
 * The heap, with known content.  The library reads memory that it never wrote (a P2M list with a hole at its start,
 * for one); what stood there must not decide a verdict, which would be another each time.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

/* No pfn, no size and no pointer that anything could take for its own. */
#define UNWRITTEN 0xa5

void *__libc_malloc(size_t n);
void *__libc_realloc(void *p, size_t n);

bool heap_filled;

/* These are the executable's and exported, so they are the library's too. */
void *malloc(size_t n)
{
    void *p = __libc_malloc(n);

    return p && heap_filled ? memset(p, UNWRITTEN, malloc_usable_size(p)) : p;
}

void *realloc(void *p, size_t n)
{
    size_t had = p ? malloc_usable_size(p) : 0, has;
    uint8_t *q = __libc_realloc(p, n);

    if ( q && heap_filled && (has = malloc_usable_size(q)) > had )
        memset(q + had, UNWRITTEN, has - had);
    return q;
}
