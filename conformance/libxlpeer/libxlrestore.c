/*
 * libxlrestore: have libxenlight restore a libxl stream, over libfakexen.so
 * and xenstored, and say in a line of JSON what came of it.
 *
 *   libxlrestore [--pv|--pvh|--hvm] [--mem KIB] [--vcpus N] [--remus|--colo]
 *                [--legacy] [--back FD] [--quiet] FILE|-
 *
 * Exit: 0 libxl restored it, 1 it refused, 2 usage or setup.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_utils.h>

static struct {
    libxl_domain_type type;
    int checkpoints, version, back;
    unsigned long kib, vcpus;
    xentoollog_level level;
} opt = { LIBXL_DOMAIN_TYPE_PV, LIBXL_CHECKPOINTED_STREAM_NONE, 2, -1, 256 << 10, 8, XTL_DEBUG };

static int parse(int argc, char **argv)
{
    static const struct option names[] = {
        { "pv", 0, 0, 'p' }, { "pvh", 0, 0, 'P' }, { "hvm", 0, 0, 'h' },
        { "mem", 1, 0, 'm' }, { "vcpus", 1, 0, 'v' }, { "remus", 0, 0, 'r' },
        { "colo", 0, 0, 'c' }, { "legacy", 0, 0, 'L' }, { "back", 1, 0, 'b' },
        { "quiet", 0, 0, 'q' }, { 0, 0, 0, 0 } };
    int c;

    while ( (c = getopt_long(argc, argv, "", names, NULL)) != -1 )
        switch ( c )
        {
        case 'p': opt.type = LIBXL_DOMAIN_TYPE_PV; break;
        case 'P': opt.type = LIBXL_DOMAIN_TYPE_PVH; break;
        case 'h': opt.type = LIBXL_DOMAIN_TYPE_HVM; break;
        case 'm': opt.kib = strtoul(optarg, 0, 0); break;
        case 'v': opt.vcpus = strtoul(optarg, 0, 0); break;
        case 'r': opt.checkpoints = LIBXL_CHECKPOINTED_STREAM_REMUS; break;
        case 'c': opt.checkpoints = LIBXL_CHECKPOINTED_STREAM_COLO; break;
        case 'L': opt.version = 1; break;
        case 'b': opt.back = atoi(optarg); break;
        case 'q': opt.level = XTL_ERROR; break;
        default: return 0;
        }
    return optind == argc - 1;
}

/* The least that libxl wants to know of a guest; NUMA and scheduling are left alone. */
static void configure(libxl_ctx *ctx, libxl_domain_config *g)
{
    libxl_domain_config_init(g);
    libxl_domain_create_info_init(&g->c_info);
    g->c_info.type = opt.type;
    g->c_info.name = strdup("fake");
    libxl_uuid_generate(&g->c_info.uuid);
    libxl_domain_build_info_init(&g->b_info);
    libxl_domain_build_info_init_type(&g->b_info, opt.type);
    g->b_info.max_vcpus = opt.vcpus;
    libxl_cpu_bitmap_alloc(ctx, &g->b_info.avail_vcpus, opt.vcpus);
    libxl_bitmap_set_any(&g->b_info.avail_vcpus);
    g->b_info.max_memkb = g->b_info.target_memkb = opt.kib;
    g->b_info.shadow_memkb = 4096;
    libxl_defbool_set(&g->b_info.numa_placement, false);
    if ( opt.type == LIBXL_DOMAIN_TYPE_HVM )
    {
        g->b_info.device_model_version = LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN;
        libxl_defbool_set(&g->b_info.u.hvm.vnc.enable, false);
    }
}

/* The last hypercall that came to nothing, by libfakexen.so. */
static const char *refused(void)
{
    const char *(*says)(void) = dlsym(RTLD_DEFAULT, "fakexen_refused");

    return says ? says() : "";
}

int main(int argc, char **argv)
{
    libxl_domain_restore_params params;
    libxl_domain_config guest;
    xentoollog_logger *log;
    uint32_t domid = 0;
    libxl_ctx *ctx;
    int fd, rc;

    if ( !parse(argc, argv) )
        return 2;
    log = (xentoollog_logger *)xtl_createlogger_stdiostream(
        stderr, opt.level, XTL_STDIOSTREAM_HIDE_PROGRESS);
    if ( !log || libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, log) )
    {
        fputs("libxlrestore: no libxl context\n", stderr);
        return 2;
    }
    fd = strcmp(argv[optind], "-") ? open(argv[optind], O_RDONLY) : 0;
    if ( fd < 0 )
    {
        perror(argv[optind]);
        return 2;
    }
    configure(ctx, &guest);
    libxl_domain_restore_params_init(&params);
    params.checkpointed_stream = opt.checkpoints;
    params.stream_version = opt.version;

    rc = libxl_domain_create_restore(ctx, &guest, &domid, fd, opt.back, &params, NULL, NULL);
    printf("{\"result\": \"%s\", \"rc\": %d, \"domid\": %u, \"offset\": %lld, \"refused\": \"%s\"}\n",
           rc ? "reject" : "accept", rc, domid, (long long)lseek(fd, 0, SEEK_CUR), refused());
    libxl_domain_restore_params_dispose(&params);
    libxl_domain_config_dispose(&guest);
    libxl_ctx_free(ctx);
    return rc ? 1 : 0;
}
