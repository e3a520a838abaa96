/*
 * Judging many streams in one process: what they have in common is done once, and each is restored in a forked
 * child, because the library asserts on some input and loops on other.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
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

static void vmessage(struct xentoollog_logger *, xentoollog_level level, int, const char *, const char *format,
                     va_list al)
{
    char line[MESSAGE_MAX];

    if ( level < XTL_ERROR )
        return;
    vsnprintf(line, sizeof(line), format, al);
    /* That the restore failed is the verdict; the line before it says why. */
    if ( words->message[0] && !strncmp(line, "Restore failed", 14) )
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

static void child(bool pv, bool remus)
{
    unsigned long store, console;
    int rc;

    /* A crash is a verdict: no core file of it. */
    prctl(PR_SET_DUMPABLE, 0);
    if ( fx_init(!pv, DOMID, pv ? PV_FRAMES_JUDGED : HVM_FRAMES) || limit_memory() ||
         setrlimit(RLIMIT_CPU, &(struct rlimit){ CPU_SECONDS, CPU_SECONDS + 1 }) )
        _exit(SETUP_FAILED);
    alarm(WALL_SECONDS);
    fx.nr_vcpus = FX_MAX_VCPUS;
    rc = restore_stream(stream_fd, remus, &store, &console);
    memcpy(words->refused, fx.refused, sizeof(words->refused));
    _exit(rc ? 1 : 0);
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
static int verdict(bool pv, bool remus)
{
    const char *said;
    pid_t pid;
    int st;

    memset(words, 0, sizeof(*words));
    pid = fork();
    if ( pid == 0 )
        child(pv, remus);
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
                    " KIND one of hvm, pv, hvm-remus, pv-remus\n", what);
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

/* "KIND LENGTH\n" */
static int parse(char *line, bool *pv, bool *remus, unsigned long long *length)
{
    static const struct { const char *name; bool pv, remus; } kinds[] = {
        { "hvm", false, false }, { "pv", true, false }, { "hvm-remus", false, true }, { "pv-remus", true, true },
    };
    char *space = strchr(line, ' '), *end;

    if ( !space || !isdigit((unsigned char)space[1]) )
        return -1;
    *space = '\0';
    errno = 0;
    *length = strtoull(space + 1, &end, 10);
    if ( errno || strcmp(end, "\n") )
        return -1;
    for ( size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++ )
        if ( !strcmp(line, kinds[i].name) )
        {
            *pv = kinds[i].pv;
            *remus = kinds[i].remus;
            return 0;
        }
    return -1;
}

int judge(void)
{
    char line[LINE_MAX_LENGTH];
    unsigned long long length;
    bool pv, remus;
    int rc;

    heap_filled = true;
    words = mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stream_fd = memfd_create("stream", MFD_CLOEXEC);
    xch = xc_interface_open(&last_words, &last_words, 0);
    if ( words == MAP_FAILED || stream_fd < 0 || !xch )
    {
        perror("xenpeer: judge");
        return 2;
    }
    while ( fgets(line, sizeof(line), stdin) )
    {
        if ( parse(line, &pv, &remus, &length) )
            return malformed("no such request");
        rc = take(length);
        if ( !rc )
            rc = verdict(pv, remus);
        if ( rc )
            return rc;
    }
    return 0;
}
