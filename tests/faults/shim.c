/* A disk that fails on demand and a clock that jumps, for LD_PRELOAD.
 *
 * The file named by FAULT_CONTROL says what fails: "CALL ERRNO PART", for
 * instance "write 28 /incoming/": CALL on a file whose path contains PART ends
 * with that error number; 0 makes a write take only half of what it is given.
 * Where the file is absent or empty nothing fails.
 *
 * The file named by FAULT_CLOCK holds eight bytes, how many seconds the wall
 * clock is ahead; the monotonic clock stays true.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Returns the error number, 0 for a short write, -1 where nothing is to fail. */
static int fault(const char *call, int descriptor)
{
    const char *control = getenv("FAULT_CONTROL");
    char text[256], name[32], part[128], link[64], path[4096];
    int number;
    if (!control)
        return -1;
    int file = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY);
    if (file < 0)
        return -1;
    ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (length <= 0)
        return -1;
    text[length] = 0;
    if (sscanf(text, "%31s %d %127s", name, &number, part) != 3 || strcmp(name, call))
        return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return -1;
    path[length] = 0;
    return strstr(path, part) ? number : -1;
}

ssize_t write(int descriptor, const void *data, size_t count)
{
    int found = fault("write", descriptor);
    if (found > 0) {
        errno = found;
        return -1;
    }
    if (found == 0 && count > 1)
        count /= 2;
    return syscall(SYS_write, descriptor, data, count);
}

int fsync(int descriptor)
{
    int found = fault("fsync", descriptor);
    if (found > 0) {
        errno = found;
        return -1;
    }
    return (int)syscall(SYS_fsync, descriptor);
}

static long long ahead(void)
{
    static volatile long long *shared;
    const char *path = getenv("FAULT_CLOCK");
    if (!shared && path) {
        int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
        void *found = mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, file, 0);
        syscall(SYS_close, file);
        if (found == MAP_FAILED)
            return 0;
        shared = found;
    }
    return shared ? *shared : 0;
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, which, now);
    if (!failed && which == CLOCK_REALTIME)
        now->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    if (!failed)
        now->tv_sec += ahead();
    return failed;
}

time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
