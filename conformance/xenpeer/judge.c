/*
 * Judging many streams in one process: what they have in common is done once, and each is restored in a forked
 * child, because the library asserts on some input and loops on other.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fakexen.h"
#include "peer.h"

#define CPU_SECONDS     4           /* processor time, so that a busy machine makes no verdict of its own */
#define WALL_SECONDS    60          /* for a reader that sleeps */
#define MEMORY          (1ull << 30)    /* address space beside the guest's */
#define SETUP_FAILED    2           /* a child's status, beside 0 and 1 for what the library said */
#define CHUNK           (64 << 10)
#define LINE_MAX_LENGTH 64

#define MESSAGE_MAX     256

/* The child's last words, and what the hypervisor refused it: shared, so that they outlive it however it ends. */
static struct words { char message[MESSAGE_MAX], refused[sizeof(fx.refused)]; } *words;

/* The stream's file: parent and child share its position, which is where the reader stopped. */
static int stream_fd;

/* Where what is never read goes. */
static int null_fd;

static void vmessage(struct xentoollog_logger *, xentoollog_level level, int, const char *, const char *format,
                     va_list al)
{
    char line[MESSAGE_MAX];

    if ( level < XTL_ERROR )
        return;
    vsnprintf(line, sizeof(line), format, al);
    /* That it failed is the verdict; the line before it says why. */
    if ( words->message[0] && (!strncmp(line, "Restore failed", 14) || !strncmp(line, "Save failed", 11)) )
        return;
    strcpy(words->message, line);
}

static void destroy(struct xentoollog_logger *) {}

static struct xentoollog_logger last_words = { .vmessage = vmessage, .destroy = destroy };

/* Exported, so the library's assertions end here and not in the C library's, which would print to stderr. */
void __assert_fail(const char *assertion, const char *, unsigned int, const char *function)
{
    if ( words )
        snprintf(words->message, MESSAGE_MAX, "%s: assertion failed: %s", function, assertion);
    else
        fprintf(stderr, "%s: assertion failed: %s\n", function, assertion);
    abort();
}

static int limit_memory(void)
{
    unsigned long long pages;
    FILE *f = fopen("/proc/self/statm", "r");
    int n = f ? fscanf(f, "%llu", &pages) : 0;

    if ( f )
        fclose(f);
    if ( n != 1 )
        return -1;
    return setrlimit(RLIMIT_AS, &(struct rlimit){ pages * FX_PAGE + MEMORY, pages * FX_PAGE + MEMORY });
}

/* What a stream may be, and who reads it: a restorer, or COLO's primary, to whom the secondary sends lists. */
static const struct kind {
    const char *name;
    bool pv, lists;
    xc_stream_type_t type;
} kinds[] = {
    { "hvm", .type = XC_STREAM_PLAIN },
    { "pv", .pv = true, .type = XC_STREAM_PLAIN },
    { "hvm-remus", .type = XC_STREAM_REMUS },
    { "pv-remus", .pv = true, .type = XC_STREAM_REMUS },
    { "hvm-colo", .type = XC_STREAM_COLO },
    { "hvm-colo-back", .lists = true, .type = XC_STREAM_COLO },
};

static bool restored(void)
{
    unsigned long store, console;

    fx.nr_vcpus = FX_MAX_VCPUS;
    opt.back = opt.type == XC_STREAM_COLO ? null_fd : -1;
    return !restore_stream(stream_fd, &store, &console);
}

static bool lists_taken(void)
{
    build_guest();
    opt.back = stream_fd;
    save_stream(null_fd);
    return lists_done;
}

static void child(const struct kind *kind)
{
    bool taken;

    /* A crash is a verdict: no core file of it. */
    prctl(PR_SET_DUMPABLE, 0);
    opt.save = kind->lists;
    opt.pv = kind->pv;
    opt.type = kind->type;
    opt.dirty = opt.vcpus = 1;
    opt.holes = 0;
    if ( fx_init(!kind->pv, DOMID, kind->lists ? machine_size() : kind->pv ? PV_FRAMES_JUDGED : HVM_FRAMES) ||
         limit_memory() || setrlimit(RLIMIT_CPU, &(struct rlimit){ CPU_SECONDS, CPU_SECONDS + 1 }) )
        _exit(SETUP_FAILED);
    alarm(WALL_SECONDS);
    taken = kind->lists ? lists_taken() : restored();
    memcpy(words->refused, fx.refused, sizeof(words->refused));
    _exit(taken ? 0 : 1);
}

static void put_string(const char *s)
{
    putchar('"');
    for ( ; *s; s++ )
        if ( *s == '"' || *s == '\\' )
            printf("\\%c", *s);
        else if ( isascii(*s) && isprint(*s) )
            putchar(*s);
        else
            printf("\\u%04x", (unsigned char)*s);
    putchar('"');
}

/* Judge what is in stream_fd, and say so. */
static int verdict(const struct kind *kind)
{
    const char *said;
    pid_t pid;
    int st;

    memset(words, 0, sizeof(*words));
    pid = fork();
    if ( pid == 0 )
        child(kind);
    if ( pid < 0 || waitpid(pid, &st, 0) < 0 )
    {
        perror("xenpeer: judge");
        return 2;
    }
    if ( WIFEXITED(st) && WEXITSTATUS(st) == SETUP_FAILED )
    {
        fputs("xenpeer: judge: the machine of a restore could not be set up\n", stderr);
        return 2;
    }
    if ( WIFEXITED(st) )
        said = WEXITSTATUS(st) ? "reject" : "accept";
    else if ( WTERMSIG(st) == SIGXCPU || WTERMSIG(st) == SIGALRM )
        said = "hang";
    else
        said = "crash";
    if ( !WIFEXITED(st) && !words->message[0] )
        snprintf(words->message, MESSAGE_MAX, "%s", strsignal(WTERMSIG(st)));
    printf("{\"verdict\": \"%s\", \"offset\": %lld, \"message\": ", said, (long long)lseek(stream_fd, 0, SEEK_CUR));
    put_string(words->message);
    fputs(", \"refused\": ", stdout);
    put_string(words->refused);
    puts("}");
    if ( fflush(stdout) )
    {
        perror("xenpeer: judge: standard output");
        return 2;
    }
    return 0;
}

static int malformed(const char *what)
{
    fprintf(stderr, "xenpeer: judge: %s; a request is \"KIND LENGTH\\n\" and LENGTH bytes,"
                    " KIND one of hvm, pv, hvm-remus, pv-remus, hvm-colo, hvm-colo-back\n", what);
    return 2;
}

/* The next LENGTH bytes of standard input become the stream. */
static int take(unsigned long long length)
{
    static char chunk[CHUNK];

    if ( ftruncate(stream_fd, 0) || lseek(stream_fd, 0, SEEK_SET) < 0 )
    {
        perror("xenpeer: judge");
        return 2;
    }
    while ( length )
    {
        size_t n = fread(chunk, 1, length < CHUNK ? length : CHUNK, stdin);

        if ( !n )
            return malformed("standard input ends inside a stream");
        if ( write(stream_fd, chunk, n) != (ssize_t)n )
        {
            perror("xenpeer: judge");
            return 2;
        }
        length -= n;
    }
    if ( lseek(stream_fd, 0, SEEK_SET) < 0 )
    {
        perror("xenpeer: judge");
        return 2;
    }
    return 0;
}

/* "KIND LENGTH\n"; NULL if it is none. */
static const struct kind *parse(char *line, unsigned long long *length)
{
    char *space = strchr(line, ' '), *end;

    if ( !space || !isdigit((unsigned char)space[1]) )
        return NULL;
    *space = '\0';
    errno = 0;
    *length = strtoull(space + 1, &end, 10);
    if ( errno || strcmp(end, "\n") )
        return NULL;
    for ( size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++ )
        if ( !strcmp(line, kinds[i].name) )
            return &kinds[i];
    return NULL;
}

int judge(void)
{
    char line[LINE_MAX_LENGTH];
    unsigned long long length;
    const struct kind *kind;
    int rc;

    heap_filled = true;
    words = mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stream_fd = memfd_create("stream", MFD_CLOEXEC);
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    xch = xc_interface_open(&last_words, &last_words, 0);
    if ( words == MAP_FAILED || stream_fd < 0 || null_fd < 0 || !xch )
    {
        perror("xenpeer: judge");
        return 2;
    }
    while ( fgets(line, sizeof(line), stdin) )
    {
        kind = parse(line, &length);
        if ( !kind )
            return malformed("no such request");
        rc = take(length);
        if ( !rc )
            rc = verdict(kind);
        if ( rc )
            return rc;
    }
    return 0;
}
