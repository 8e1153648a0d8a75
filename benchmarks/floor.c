/* The floor: what it costs to take audit's records from the kernel and do nothing with them.
 *
 *   floor COUNTS [RECEIVE_BUFFER_BYTES]
 *
 * Registers as the audit daemon, drains the socket with recvmmsg and throws everything away but
 * the counts. COUNTS is a file of two native 64-bit numbers, records and ends of events (EOE),
 * which whoever started this maps to watch it. Ends on SIGTERM, giving the audit pid back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH = 256,
    STRIDE = 9216,              /* MAX_AUDIT_MESSAGE_LENGTH 8970 plus nlmsghdr, rounded up */
    RECEIVE_BUFFER = 16 << 20,
};

struct counts {
    volatile uint64_t records;
    volatile uint64_t events;
};

static volatile sig_atomic_t stopping;

static void stop(int signal_number) { (void)signal_number; stopping = 1; }

static void fail(const char *what) { perror(what); exit(1); }

/* Ask the kernel for the records (pid) or give them back (0). The answer to the first arrives
 * among the records, so neither waits for one: who starts this looks at the kernel's status. */
static void set_audit_pid(int fd, uint32_t pid)
{
    struct { struct nlmsghdr header; struct audit_status status; } request;
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

    memset(&request, 0, sizeof request);
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = AUDIT_SET;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    request.status.mask = AUDIT_STATUS_PID;
    request.status.pid = pid;
    if (sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        fail("AUDIT_SET pid");
}

int main(int argc, char **argv)
{
    static char payload[BATCH][STRIDE];
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    int buffer_bytes = argc > 2 ? atoi(argv[2]) : RECEIVE_BUFFER;

    if (argc < 2) {
        fprintf(stderr, "usage: floor COUNTS [RECEIVE_BUFFER_BYTES]\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpriority(PRIO_PROCESS, 0, -4);   /* auditd's own default, priority_boost = 4 */

    int file = open(argv[1], O_RDWR | O_CLOEXEC);
    if (file < 0)
        fail(argv[1]);
    struct counts *counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counts == MAP_FAILED)
        fail("mmap");

    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_AUDIT);
    if (fd < 0)
        fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes) < 0)
        fail("SO_RCVBUFFORCE");

    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){ payload[i], STRIDE };
        messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
    }

    /* Without SA_RESTART, and blocked but in ppoll, so that the signal cannot be missed. */
    struct sigaction action = { .sa_handler = stop };
    sigset_t held, open_set;
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigprocmask(SIG_BLOCK, &held, &open_set);
    sigdelset(&open_set, SIGTERM);
    sigdelset(&open_set, SIGINT);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    set_audit_pid(fd, (uint32_t)getpid());
    while (!stopping) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        if (ppoll(&ready, 1, NULL, &open_set) < 0) {
            if (errno == EINTR)
                continue;
            fail("ppoll");
        }
        for (;;) {
            int n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
            if (n < 0) {
                if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
                    break;
                fail("recvmmsg");
            }
            uint64_t records = 0, events = 0;
            for (int i = 0; i < n; i++) {
                uint16_t type = ((struct nlmsghdr *)payload[i])->nlmsg_type;
                records += type >= AUDIT_FIRST_USER_MSG;
                events += type == AUDIT_EOE;
            }
            counts->records += records;
            counts->events += events;
        }
    }
    set_audit_pid(fd, 0);
    printf("records %llu\nevents %llu\n", (unsigned long long)counts->records,
           (unsigned long long)counts->events);
    return 0;
}
