/* Saving: the guest runs on, round by round, while the library sends it. */
#include <sys/stat.h>
#include <unistd.h>

#include "fakexen.h"
#include "peer.h"

static int suspend(void *)
{
    guest_runs();
    fx.shutdown = true;
    return 1;
}

static int resume(void *)
{
    fx.shutdown = false;
    return 1;
}

static int policy(struct precopy_stats s, void *)
{
    return s.iteration >= opt.iterations ? XGS_POLICY_STOP_AND_COPY
                                         : XGS_POLICY_CONTINUE_PRECOPY;
}

static unsigned int done;
bool lists_done;

/* A Remus sender knows no end: this one is gone after the last checkpoint. */
static int checkpoint(void *)
{
    if ( ++done < opt.checkpoints )
        return 1;
    fx.shutdown = true;
    return 0;
}

static int colo_checkpoint(void *) { return 1; }

/* COLO's primary waits for a reason for another checkpoint: where lists are judged, another list in the file. */
static int colo_wait(void *)
{
    struct stat st;

    if ( opt.checkpoints )
        return ++done < opt.checkpoints;
    lists_done = fstat(opt.back, &st) || lseek(opt.back, 0, SEEK_CUR) >= st.st_size;
    return !lists_done;
}

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

    fx_on_clean = guest_runs;
    if ( !live )
        opt.dirty = 0;
    return xc_domain_save(xch, fd, DOMID, flags, &cb, opt.type, opt.back);
}
