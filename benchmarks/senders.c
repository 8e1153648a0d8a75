/* Senders: clients of a log collector, in one process, each with a window of records on the way.
 *
 *   senders PORT CLIENTS WINDOW RECORDS SIZE    RECORDS each, SIZE bytes each
 *
 * First line on stdout: `ready`, when all are connected and each has had a heartbeat answered.
 * After one byte on stdin they send, and it prints `START END RECORDS`, the first two
 * CLOCK_MONOTONIC in nanoseconds: from the first record to the last acknowledgement. With RECORDS
 * 0 it says `ready` and keeps its clients until standard input ends.
 *
 * The text of record N of client C has `msg=audit(1700000000.000:M)` with M = C * RECORDS + N.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADER 16
#define ACK 0x40000000u
#define DISKLOW 0x50000001u

struct client {
    int fd;
    long sent, acked;           /* records */
    size_t pending;             /* bytes of an answer that is not complete */
    char answer[HEADER];
    char *unsent;               /* what the socket did not take */
    size_t left;
};

static long clients, window, records, size;
static char *block;             /* a window of messages */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void put32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> 8 * i);
}

static uint32_t get32(const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)(unsigned char)at[i] << 8 * i;
    return value;
}

static void header(char *at, uint32_t type, uint32_t length, uint32_t sequence)
{
    static const unsigned char magic[6] = { 0xfe, 0, 0, 0xff, 0, 0 };
    memcpy(at, magic, 6);
    put32(at + 6, type);
    at[10] = (char)length;
    at[11] = (char)(length >> 8);
    put32(at + 12, sequence);
}

static void make_block(void)
{
    static const char text[] = "node=bench type=SYSCALL msg=audit(1700000000.000:0000000000): "
                               "arch=c000003e syscall=257 success=yes exit=3";
    block = malloc((size_t)(window * (HEADER + size)));
    for (long i = 0; i < window; i++) {
        char *at = block + i * (HEADER + size);
        header(at, 0, (uint32_t)size, 0);
        memset(at + HEADER, 'x', (size_t)size);
        memcpy(at + HEADER, text, sizeof text - 1);
        at[HEADER + sizeof text - 1] = ' ';
        at[HEADER + size - 1] = '\n';
    }
}

static void number(char *message, long sequence, long serial)
{
    put32(message + 12, (uint32_t)sequence);
    char *digit = message + HEADER + strlen("node=bench type=SYSCALL msg=audit(1700000000.000:") + 9;
    for (int i = 0; i < 10; i++, serial /= 10)
        *digit-- = (char)('0' + serial % 10);
}

static void send_more(struct client *c, long index)
{
    long room = window - (c->sent - c->acked);
    long left = records - c->sent;
    long amount = room < left ? room : left;
    if (amount <= 0 || c->left)
        return;
    for (long i = 0; i < amount; i++)
        number(block + i * (HEADER + size), c->sent + i + 1, index * records + c->sent + i);
    size_t bytes = (size_t)(amount * (HEADER + size));
    ssize_t done = send(c->fd, block, bytes, MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN)
        fail("send");
    if (done < 0)
        done = 0;
    if ((size_t)done < bytes) {
        c->left = bytes - (size_t)done;
        c->unsent = malloc(c->left);
        memcpy(c->unsent, block + done, c->left);
    }
    c->sent += amount;
}

static void flush_unsent(struct client *c)
{
    ssize_t done = send(c->fd, c->unsent, c->left, MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN)
        fail("send");
    if (done > 0) {
        memmove(c->unsent, c->unsent + done, c->left - (size_t)done);
        c->left -= (size_t)done;
        if (!c->left)
            free(c->unsent);
    }
}

static void receive(struct client *c)
{
    char data[65536];
    memcpy(data, c->answer, c->pending);
    ssize_t got = recv(c->fd, data + c->pending, sizeof data - c->pending, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        fprintf(stderr, "senders: the collector closed a connection\n");
        exit(1);
    }
    size_t end = c->pending + (size_t)got, at = 0;
    for (; end - at >= HEADER; at += HEADER) {
        uint32_t type = get32(data + at + 6);
        if ((type != ACK && type != DISKLOW) || data[at + 10] || data[at + 11]) {
            fprintf(stderr, "senders: an answer of type %x\n", type);
            exit(1);
        }
        if (get32(data + at + 12) != (uint32_t)(c->acked + 1)) {
            fprintf(stderr, "senders: answers are not in order\n");
            exit(1);
        }
        c->acked++;
    }
    c->pending = end - at;
    memcpy(c->answer, data + at, c->pending);
}

static void connect_one(struct client *c, long index, int port)
{
    struct sockaddr_in from = { .sin_family = AF_INET };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    char beat[HEADER];
    int on = 1;
    from.sin_addr.s_addr = htonl(0x7f000101u + (uint32_t)(index % 200)); /* 127.0.1.x */
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&from, sizeof from))
        fail("socket");
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to))
        fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    header(beat, 1, 0, 0);
    if (send(c->fd, beat, HEADER, 0) != HEADER ||
        recv(c->fd, beat, HEADER, MSG_WAITALL) != HEADER || get32(beat + 6) != ACK) {
        fprintf(stderr, "senders: no answer to a heartbeat\n");
        exit(1);
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

int main(int argc, char **argv)
{
    char byte;
    if (argc != 6) {
        fprintf(stderr, "usage: senders PORT CLIENTS WINDOW RECORDS SIZE\n");
        return 2;
    }
    clients = atol(argv[2]);
    window = atol(argv[3]);
    records = atol(argv[4]);
    size = atol(argv[5]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit files = { (rlim_t)clients + 64, (rlim_t)clients + 64 };
    setrlimit(RLIMIT_NOFILE, &files);
    make_block();
    struct client *all = calloc((size_t)clients, sizeof *all);
    int epoll = epoll_create1(0);
    for (long i = 0; i < clients; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)i };
        connect_one(&all[i], i, atoi(argv[1]));
        epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    printf("ready\n");
    fflush(stdout);
    if (read(STDIN_FILENO, &byte, 1) != 1 || !records)
        return 0;
    int64_t start_ns = now_ns();
    for (long i = 0; i < clients; i++)
        send_more(&all[i], i);
    for (long done = 0; done < clients;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 20000);
        if (n <= 0) {
            fprintf(stderr, "senders: no answer in 20 s\n");
            return 1;
        }
        for (int k = 0; k < n; k++) {
            struct client *c = &all[events[k].data.u64];
            if (events[k].events & EPOLLOUT)
                flush_unsent(c);
            if (events[k].events & ~(uint32_t)EPOLLOUT) {
                receive(c);
                send_more(c, (long)events[k].data.u64);
                done += c->acked == records;
            }
            struct epoll_event event = { .events = c->left ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                         .data.u64 = events[k].data.u64 };
            epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
        }
    }
    printf("%lld %lld %ld\n", (long long)start_ns, (long long)now_ns(), clients * records);
    return 0;
}
