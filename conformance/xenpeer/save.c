/* Saving: the guest runs on, round by round, while the library sends it. */
#include <unistd.h>

#include "fakexen.h"
#include "peer.h"

/* COLO's back channel, where it is a file that is judged: its lists are the library's to read, the records between them
 * are libxl's, which is not here.  All has been taken when what should be such a record is none. */
bool lists_done;
static bool judged;

static int libxl_reads(uint32_t state)
{
    /* libxl.CHECKPOINT_STATE: type, length, what the secondary has come to, padding */
    uint32_t r[4];

    if ( !judged )
        return 1;
    lists_done = read(opt.back, r, sizeof(r)) != sizeof(r) || r[0] != 5 || r[1] != 4 || r[2] != state;
    return !lists_done;
}

enum { SVM_SUSPENDED = 1, SVM_READY, SVM_RESUMED };

static unsigned int rounds;

static int suspend(void *)
{
    guest_runs();
    fx.shutdown = true;
    return rounds++ ? libxl_reads(SVM_SUSPENDED) : 1;
}

static int resume(void *)
{
    fx.shutdown = false;
    return libxl_reads(SVM_RESUMED);
}

static int policy(struct precopy_stats s, void *)
{
    return s.iteration >= opt.iterations ? XGS_POLICY_STOP_AND_COPY
                                         : XGS_POLICY_CONTINUE_PRECOPY;
}

/* A Remus sender knows no end: this one is gone after the last checkpoint. */
static int checkpoint(void *)
{
    if ( rounds < opt.checkpoints )
        return 1;
    fx.shutdown = true;
    return 0;
}

static int colo_checkpoint(void *) { return libxl_reads(SVM_READY); }

/* COLO's primary waits for a reason for another checkpoint. */
static int colo_wait(void *) { return judged || rounds < opt.checkpoints; }

static int qemu_logdirty(uint32_t, unsigned, void *) { return 0; }

int save_stream(int fd)
{
    bool live = opt.live || opt.type != XC_STREAM_PLAIN, colo = opt.type == XC_STREAM_COLO;
    struct save_callbacks cb = {
        .suspend = suspend, .postcopy = resume, .checkpoint = colo ? colo_checkpoint : checkpoint,
        .wait_checkpoint = colo ? colo_wait : NULL,
        .switch_qemu_logdirty = qemu_logdirty, .precopy_policy = policy,
    };
    uint32_t flags = (live ? XCFLAGS_LIVE : 0) | (opt.verify ? XCFLAGS_DEBUG : 0);

    judged = colo && !opt.checkpoints;
    fx.on_clean = guest_runs;
    if ( !live )
        opt.dirty = 0;
    return xc_domain_save(xch, fd, DOMID, flags, &cb, opt.type, opt.back);
}
