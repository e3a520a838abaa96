/* Saving: the guest runs on, round by round, while the library sends it. */
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

/* A Remus sender knows no end: this one is gone after the last checkpoint. */
static int checkpoint(void *)
{
    static unsigned int done;

    if ( ++done < opt.checkpoints )
        return 1;
    fx.shutdown = true;
    return 0;
}

static int qemu_logdirty(uint32_t, unsigned, void *) { return 0; }

int save_stream(int fd)
{
    struct save_callbacks cb = {
        .suspend = suspend, .postcopy = resume, .checkpoint = checkpoint,
        .switch_qemu_logdirty = qemu_logdirty, .precopy_policy = policy,
    };
    uint32_t flags = (opt.live || opt.remus ? XCFLAGS_LIVE : 0) |
                     (opt.verify ? XCFLAGS_DEBUG : 0);

    fx_on_clean = guest_runs;
    if ( !opt.live && !opt.remus )
        opt.dirty = 0;
    return xc_domain_save(xch, fd, DOMID, flags, &cb,
                          opt.remus ? XC_STREAM_REMUS : XC_STREAM_PLAIN, -1);
}
