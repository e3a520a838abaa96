/* The command line.  Exit: 0 accept, 1 reject, 2 usage, 3 the library crashed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fakexen.h"
#include "peer.h"

struct options opt = { .pages = 64, .holes = FX_NO_FRAME, .dirty = FX_NO_FRAME, .seed = 1, .back = -1 };
xc_interface *xch;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int failed(const char *what)
{
    perror(what);
    return 2;
}

/* Frames of the machine: as many as the guest has, or as any could have. */
uint64_t machine_size(void)
{
    if ( !opt.save )
        return opt.pv ? PV_FRAMES : HVM_FRAMES;
    return opt.pv ? opt.pages : (opt.real_layout ? REAL_SPECIAL_PFN : opt.pages) + 8;
}

static void save(int fd, struct outcome *o)
{
    build_guest();
    o->seconds = -now();
    o->rc = save_stream(fd);
    o->err = errno;
    o->seconds += now();
    if ( fd != STDOUT_FILENO && close(fd) )
        o->rc = -1;
    o->result = o->rc ? "failed" : "saved";
}

static void restore(int fd, struct outcome *o)
{
    unsigned long store, console;

    fx.sink = opt.sink;
    o->seconds = -now();
    o->rc = restore_stream(fd, &store, &console);
    o->err = o->rc ? errno : 0;
    o->seconds += now();
    o->result = o->rc ? "reject" : "accept";
    o->offset = lseek(fd, 0, SEEK_CUR);
    o->store = opt.pv && !o->rc ? to_pfn(store) : store;
    o->console = opt.pv && !o->rc ? to_pfn(console) : console;
}

static int run(void)
{
    bool std = !strcmp(opt.file, "-");
    FILE *out = opt.json ? fopen(opt.json, "w") : opt.save && std ? stderr : stdout;
    xentoollog_level level = opt.quiet ? XTL_CRITICAL : opt.verbose ? XTL_DEBUG : XTL_INFO;
    xentoollog_logger *logger =
        (void *)xtl_createlogger_stdiostream(stderr, level, XTL_STDIOSTREAM_HIDE_PROGRESS);
    struct outcome o = { 0 };
    int fd;

    if ( !out )
        return failed(opt.json);
    if ( !logger || fx_init(!opt.pv, DOMID, machine_size()) )
        return failed("xenpeer: setup");
    fx.nr_vcpus = opt.vcpus;
    if ( opt.max_pages )
        fx.max_pages = opt.max_pages;
    xch = xc_interface_open(logger, logger, 0);
    if ( !xch )
        return failed("xenpeer: setup");
    if ( std )
        fd = opt.save ? STDOUT_FILENO : STDIN_FILENO;
    else
        fd = open(opt.file, opt.save ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0644);
    if ( fd < 0 )
        return failed(opt.file);

    errno = 0;
    (opt.save ? save : restore)(fd, &o);
    if ( report(out, &o) )
        return failed(opt.json ? opt.json : "xenpeer: standard output");
    xc_interface_close(xch);
    return o.rc ? 1 : 0;
}

static const char usage[] =
"usage: xenpeer judge                                      (requests on stdin)\n"
"       xenpeer save    [--hvm|--pv] --pages N [options] OUT\n"
"       xenpeer restore [--hvm|--pv] [options] IN          ('-' for a pipe)\n"
" save:    --live N        N pre-copy rounds, then stop-and-copy\n"
"          --dirty N       pages rewritten per round (default pages/16)\n"
"          --remus K       checkpointed stream of K checkpoints, no END\n"
"          --colo K        COLO's primary, K checkpoints; needs --back\n"
"          --verify        append a VERIFY pass (needs --live)\n"
"          --seed S  --holes N  --vcpus N  --tag (compressible pages)\n"
"          --real-layout   HVM special pages at 0xfeff8, as in a real guest\n"
"          --p2m-list      PV: linear p2m list instead of the 3-level tree\n"
" restore: --remus         accept a checkpointed stream\n"
"          --colo          COLO's secondary; --pages and --dirty as the primary\n"
"          --max-pages N   allocation limit  --no-digest\n"
"          --sink          HVM, for timing: guest memory goes nowhere\n"
" both:    --back FD       COLO's channel from secondary to primary\n"
"          --json FILE  --dump FILE (memory image)  -q  -v\n";

static const struct option long_options[] = {
    { "hvm", 0, 0, 'h' }, { "pv", 0, 0, 'p' }, { "pages", 1, 0, 'n' }, { "live", 1, 0, 'l' }, { "remus", 2, 0, 'r' },
    { "dirty", 1, 0, 'd' }, { "seed", 1, 0, 's' }, { "holes", 1, 0, 'o' }, { "vcpus", 1, 0, 'c' },
    { "verify", 0, 0, 'y' }, { "tag", 0, 0, 't' }, { "json", 1, 0, 'j' }, { "dump", 1, 0, 'D' },
    { "real-layout", 0, 0, 'R' }, { "p2m-list", 0, 0, 'L' }, { "max-pages", 1, 0, 'm' }, { "no-digest", 0, 0, 'N' },
    { "sink", 0, 0, 'S' }, { "colo", 2, 0, 'C' }, { "back", 1, 0, 'b' }, { 0 } };

/* Fill in opt from the words after "save" or "restore"; whether they made sense. */
static bool parse(int argc, char **argv)
{
    int c;

    while ( (c = getopt_long(argc, argv, "qv", long_options, NULL)) != -1 )
        switch ( c )
        {
        case 'h': opt.pv = false; break;
        case 'p': opt.pv = true; break;
        case 'n': opt.pages = strtoull(optarg, 0, 0); break;
        case 'l': opt.live = true; opt.iterations = strtoul(optarg, 0, 0); break;
        case 'r':
        case 'C':
            opt.type = c == 'r' ? XC_STREAM_REMUS : XC_STREAM_COLO;
            /* "--remus K" as well as "--remus=K"; restore takes no K */
            if ( !optarg && opt.save && optind < argc )
                optarg = argv[optind++];
            opt.checkpoints = optarg ? strtoul(optarg, 0, 0) : 1;
            break;
        case 'b': opt.back = strtol(optarg, 0, 0); break;
        case 'd': opt.dirty = strtoull(optarg, 0, 0); break;
        case 's': opt.seed = strtoull(optarg, 0, 0); break;
        case 'o': opt.holes = strtoull(optarg, 0, 0); break;
        case 'c': opt.vcpus = strtoul(optarg, 0, 0); break;
        case 'y': opt.verify = true; break;
        case 't': opt.tag = true; break;
        case 'j': opt.json = optarg; break;
        case 'D': opt.dump = optarg; break;
        case 'R': opt.real_layout = true; break;
        case 'L': opt.p2m_list = true; break;
        case 'm': opt.max_pages = strtoull(optarg, 0, 0); break;
        case 'N': opt.no_digest = true; break;
        case 'S': opt.sink = opt.no_digest = true; break;
        case 'q': opt.quiet = true; break;
        case 'v': opt.verbose = true; break;
        default: return false;
        }
    if ( !opt.vcpus )           /* a restorer takes as many as may come */
        opt.vcpus = opt.save ? 1 : FX_MAX_VCPUS;
    if ( opt.holes == FX_NO_FRAME )
        opt.holes = opt.pages / 32;
    if ( opt.dirty == FX_NO_FRAME )
        opt.dirty = opt.pages / 16 ? opt.pages / 16 : 1;
    opt.file = argv[optind];
    return optind == argc - 1 && opt.pages && opt.pages <= (opt.real_layout ? REAL_SPECIAL_PFN : 1ull << 28) &&
           opt.vcpus <= FX_MAX_VCPUS && (opt.type != XC_STREAM_COLO || (!opt.pv && opt.back >= 0));
}

int main(int argc, char **argv)
{
    pid_t pid;
    int st;

    if ( argc == 2 && !strcmp(argv[1], "judge") )
        return judge();
    opt.save = argc > 1 && !strcmp(argv[1], "save");
    if ( argc < 3 || (!opt.save && strcmp(argv[1], "restore")) || !parse(argc - 1, argv + 1) )
    {
        fputs(usage, stderr);
        return 2;
    }

    /* The library asserts on some input: keep that apart from a reject. */
    pid = fork();
    if ( pid == 0 )
        exit(run());
    if ( pid < 0 || waitpid(pid, &st, 0) < 0 )
        return failed("xenpeer");
    if ( WIFSIGNALED(st) )
    {
        printf("{\"result\":\"crash\",\"signal\":%d}\n", WTERMSIG(st));
        return 3;
    }
    return WEXITSTATUS(st);
}
