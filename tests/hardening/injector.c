/* Preloaded into a process under attack: at the n-th call that changes something under a prefix it kills the process,
 * fails, writes half, or raises a signal. It also records what was done, for power cuts to be replayed.
 *
 * A record is a line "CALL<TAB>PATH<TAB>PATH2<TAB>OFFSET<TAB>LENGTH", followed by LENGTH bytes of data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

enum action { NOTHING, KILL_BEFORE, KILL_AFTER, KILL_HALF, FAIL, SHORT, SIGNAL };

static char prefix[4096];
static long wanted;
static int action, value, record = -1;
static long *count; /* shared with the parent, who reads it when the process is dead */

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }
#define NEXT(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))next(#name)

void injector_share(void) {
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

long injector_count(void) { return *count; }

void injector_arm(const char *path, long number, int what, int argument, int log) {
    snprintf(prefix, sizeof prefix, "%s", path);
    wanted = number;
    action = what;
    value = argument;
    record = log;
    *count = 0;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int under(const char *path) { return prefix[0] && !strncmp(path, prefix, strlen(prefix)); }

static int of_descriptor(int fd, char *path) {
    char link[64];
    if (!prefix[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    path[length > 0 ? length : 0] = 0;
    return under(path);
}

static int of_name(const char *name, char *path) {
    if (!prefix[0] || !name) return 0;
    if (name[0] == '/') {
        snprintf(path, 4096, "%s", name);
    } else {
        char folder[2048];
        if (!getcwd(folder, sizeof folder)) return 0;
        snprintf(path, 4096, "%s/%s", folder, name);
    }
    return under(path);
}

/* Whether this call is the one; then it may not come back. */
static int its_turn(void) {
    int hit = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) == wanted;
    if (hit && action == KILL_BEFORE) die();
    if (hit && action == SIGNAL) kill(getpid(), value);
    return hit;
}

static void note(const char *call, const char *path, const char *path2, long offset, const void *data, long length) {
    char head[9000];
    if (record < 0) return;
    int size = snprintf(head, sizeof head, "%s\t%s\t%s\t%ld\t%ld\n", call, path, path2, offset, length);
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = next("write");
    if (real(record, head, size) != size || (length && real(record, data, length) != length)) abort();
}

/* The frame of every call: not ours, pass it on; ours, count it, act, note it. FAILED is what the call says on failure. */
#define CALL(is_ours, name, call, failed, noted) \
    do { \
        if (!(is_ours)) return call; \
        int hit = its_turn(); \
        if (hit && action == FAIL) { errno = value; return failed; } \
        __typeof__(call) result = call; \
        if (result != (__typeof__(call))(failed)) noted; \
        if (hit && (action == KILL_AFTER || action == KILL_HALF)) die(); \
        return result; \
    } while (0)

#define PART(length) ((hit_next() && (action == KILL_HALF || action == SHORT) && (length) > 1) ? (length) / 2 : (length))
static int hit_next(void) { return *count + 1 == wanted; }

#define WRITE(name) \
    ssize_t name(int fd, const void *data, size_t length, off_t offset) { \
        NEXT(name); char path[4096]; int ours = of_descriptor(fd, path); \
        size_t part = ours ? PART(length) : length; \
        CALL(ours, name, real(fd, data, part, offset), -1, note("write", path, "", offset, data, result)); \
    }
WRITE(pwrite)
WRITE(pwrite64)

ssize_t write(int fd, const void *data, size_t length) {
    NEXT(write); char path[4096]; int ours = fd != record && of_descriptor(fd, path);
    size_t part = ours ? PART(length) : length;
    off_t offset = ours ? lseek(fd, 0, SEEK_CUR) : 0;
    CALL(ours, write, real(fd, data, part), -1, note("write", path, "", offset, data, result));
}

#define BY_DESCRIPTOR(name, declared, passed, noted) \
    int name declared { NEXT(name); char path[4096]; int ours = of_descriptor(fd, path); CALL(ours, name, real passed, -1, noted); }
BY_DESCRIPTOR(fsync, (int fd), (fd), note("fsync", path, "", 0, 0, 0))
BY_DESCRIPTOR(fdatasync, (int fd), (fd), note("fsync", path, "", 0, 0, 0))
BY_DESCRIPTOR(ftruncate, (int fd, off_t length), (fd, length), note("truncate", path, "", length, 0, 0))
BY_DESCRIPTOR(ftruncate64, (int fd, off_t length), (fd, length), note("truncate", path, "", length, 0, 0))
BY_DESCRIPTOR(fallocate, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length), (void)0)
BY_DESCRIPTOR(fallocate64, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length), (void)0)
BY_DESCRIPTOR(futimens, (int fd, const struct timespec times[2]), (fd, times), (void)0)
BY_DESCRIPTOR(fchmod, (int fd, mode_t mode), (fd, mode), (void)0)
BY_DESCRIPTOR(fchown, (int fd, uid_t user, gid_t group), (fd, user, group), (void)0)
BY_DESCRIPTOR(fsetxattr, (int fd, const char *name, const void *data, size_t length, int flags),
              (fd, name, data, length, flags), note("setxattr", path, name, 0, data, length))
BY_DESCRIPTOR(fremovexattr, (int fd, const char *name), (fd, name), note("removexattr", path, name, 0, 0, 0))

#define BY_NAME(name, declared, passed, noted) \
    int name declared { NEXT(name); char path[4096], path2[4096] = ""; int ours = of_name(from, path); \
        (void)path2; CALL(ours, name, real passed, -1, noted); }
BY_NAME(unlink, (const char *from), (from), note("unlink", path, "", 0, 0, 0))
BY_NAME(rename, (const char *from, const char *to), (from, to), (of_name(to, path2), note("rename", path, path2, 0, 0, 0)))
BY_NAME(link, (const char *from, const char *to), (from, to), (of_name(to, path2), note("link", path, path2, 0, 0, 0)))
#define AT(name, declared, passed, noted) \
    int name declared { NEXT(name); char path[4096], path2[4096] = ""; int ours = of_name(from, path); \
        (void)path2; CALL(ours, name, real passed, -1, noted); }
AT(unlinkat, (int folder, const char *from, int flags), (folder, from, flags), note("unlink", path, "", 0, 0, 0))
AT(renameat, (int folder, const char *from, int folder2, const char *to), (folder, from, folder2, to),
   (of_name(to, path2), note("rename", path, path2, 0, 0, 0)))
AT(renameat2, (int folder, const char *from, int folder2, const char *to, unsigned flags),
   (folder, from, folder2, to, flags), (of_name(to, path2), note("rename", path, path2, 0, 0, 0)))

#define OPEN(name) \
    int name(const char *from, int flags, ...) { \
        NEXT(name); va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        char path[4096]; int ours = (flags & O_CREAT) && of_name(from, path); \
        CALL(ours, name, real(from, flags, mode), -1, note("create", path, "", 0, 0, 0)); \
    }
OPEN(open)
OPEN(open64)

ssize_t copy_file_range(int from, off_t *at, int fd, off_t *offset, size_t length, unsigned flags) {
    NEXT(copy_file_range); char path[4096]; int ours = of_descriptor(fd, path);
    size_t part = ours ? PART(length) : length;
    off_t begin = offset ? *offset : 0;
    CALL(ours, copy_file_range, real(from, at, fd, offset, part, flags), -1, {
        char *copied = record >= 0 ? malloc(result ? result : 1) : NULL;
        if (copied && pread(fd, copied, result, begin) != result) abort();
        if (copied) note("write", path, "", begin, copied, result);
        free(copied);
    });
}
