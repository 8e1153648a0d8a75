/* A plugin that only counts: count COUNTS
 *
 * Reads records, format string, on standard input until its end. COUNTS is a file of two native
 * 64-bit numbers, lines and ends of events (EOE), which whoever started this maps to watch it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct counts {
    volatile uint64_t records;
    volatile uint64_t events;
};

static char buffer[1 << 18];

int main(int argc, char **argv)
{
    static const char end[] = "type=EOE ";
    struct counts *counts;
    size_t kept = 0;
    ssize_t got;
    int fd;

    if (argc != 2 || (fd = open(argv[1], O_RDWR)) < 0)
        return 1;
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counts == MAP_FAILED)
        return 1;
    while ((got = read(STDIN_FILENO, buffer + kept, sizeof buffer - kept)) > 0) {
        char *line = buffer, *stop = buffer + kept + got, *newline;
        uint64_t records = 0, events = 0;

        while ((newline = memchr(line, '\n', stop - line)) != NULL) {
            records++;
            events += newline - line >= 9 && memcmp(line, end, 9) == 0;
            line = newline + 1;
        }
        counts->records += records;
        counts->events += events;
        kept = stop - line;
        memmove(buffer, line, kept);
        if (kept == sizeof buffer)
            return 1;           /* a line that long is none */
    }
    return 0;
}
