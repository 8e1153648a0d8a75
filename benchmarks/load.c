/* The load: a process that makes audit events, nothing else, and says when.
 *
 *   load getpgid N [STAGES]            N calls as fast as they go, STAGES times
 *   load openat  RATE SECONDS PATH     RATE calls a second, paced, each opens PATH
 *
 * First line on stdout: `ready ARCH SYSCALL`, the numbers a rule for this process needs
 * (AUDIT_ARCH_*, system call). Each stage then waits for one byte on stdin and prints
 * `START END CALLS`, the first two CLOCK_MONOTONIC in nanoseconds.
 *
 * The last call of stage K carries MARK + K in a register the system call does not use, a1 of
 * getpgid and a3 of openat (the mode, without O_CREAT). audit records both, so whoever reads the
 * log knows that everything has arrived.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define ARCH AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCH AUDIT_ARCH_PPC64LE
#else
#error "add this machine's AUDIT_ARCH"
#endif

#define MARK 0x7e570000L
#define SECOND_NS 1000000000L
#define TICK_NS 1000000L        /* high rates are made in batches, one a millisecond */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void sleep_until(int64_t when_ns)
{
    struct timespec when = { when_ns / SECOND_NS, when_ns % SECOND_NS };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        ;
}

static void wait_for_go(void)
{
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 1)
        exit(0);                /* who started this has gone or changed its mind */
}

static void said(int64_t start_ns, long calls)
{
    printf("%lld %lld %ld\n", (long long)start_ns, (long long)now_ns(), calls);
    fflush(stdout);
}

static void make_getpgid(long calls, long mark)
{
    for (long i = 1; i < calls; i++)
        syscall(SYS_getpgid, 0L, 0L);
    syscall(SYS_getpgid, 0L, mark);
}

static void open_once(const char *path, long mode)
{
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, mode);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    close((int)fd);
}

/* Call i is due at start + i / rate, rounded up to the next tick when there is more than one in
 * a tick; a late wake-up makes what is due by then, so the rate holds whatever the scheduler does. */
static void make_openat(int64_t start_ns, long rate, long calls, const char *path, long mark)
{
    int64_t step_ns = rate > SECOND_NS / TICK_NS ? TICK_NS : SECOND_NS / rate;
    long made = 0;

    for (int64_t due_ns = start_ns + step_ns; made < calls; due_ns += step_ns) {
        sleep_until(due_ns);
        long due = (long)((due_ns - start_ns) * (__int128)rate / SECOND_NS);
        for (; made < due && made < calls; made++)
            open_once(path, made + 1 == calls ? mark : 0);
    }
}

int main(int argc, char **argv)
{
    int getpgid_load = argc >= 3 && !strcmp(argv[1], "getpgid");
    int openat_load = argc == 5 && !strcmp(argv[1], "openat");

    if (!getpgid_load && !openat_load) {
        fprintf(stderr, "usage: load getpgid N [STAGES] | load openat RATE SECONDS PATH\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    printf("ready %u %d\n", ARCH, getpgid_load ? (int)SYS_getpgid : (int)SYS_openat);
    fflush(stdout);

    if (getpgid_load) {
        long calls = atol(argv[2]);
        long stages = argc > 3 ? atol(argv[3]) : 1;
        for (long stage = 0; stage < stages; stage++) {
            wait_for_go();
            int64_t start_ns = now_ns();
            make_getpgid(calls, MARK + stage);
            said(start_ns, calls);
        }
    } else {
        long rate = atol(argv[2]);
        long calls = rate * atol(argv[3]);
        wait_for_go();
        int64_t start_ns = now_ns();
        make_openat(start_ns, rate, calls, argv[4], MARK);
        said(start_ns, calls);
    }
    return 0;
}
