/* Lets lvm(8) take ordinary files below $LVM_FILES for block devices. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

typedef int by_path(const char *, struct stat64 *);
typedef int by_file(int, struct stat64 *);

static int disguised(int result, const char *path, struct stat64 *found) {
    const char *folder = getenv("LVM_FILES");
    if (result == 0 && folder && strncmp(path, folder, strlen(folder)) == 0 && S_ISREG(found->st_mode)) {
        found->st_mode = (found->st_mode & 07777) | S_IFBLK;
        found->st_rdev = makedev(7, found->st_ino & 0xfffff);
    }
    return result;
}

int stat64(const char *path, struct stat64 *found) {
    return disguised(((by_path *)dlsym(RTLD_NEXT, "stat64"))(path, found), path, found);
}

int lstat64(const char *path, struct stat64 *found) {
    return disguised(((by_path *)dlsym(RTLD_NEXT, "lstat64"))(path, found), path, found);
}

int fstat64(int file, struct stat64 *found) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (readlink(link, path, sizeof path - 1) < 0) path[0] = 0;
    return disguised(((by_file *)dlsym(RTLD_NEXT, "fstat64"))(file, found), path, found);
}

int ioctl(int file, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    struct stat64 found;
    if (((by_file *)dlsym(RTLD_NEXT, "fstat64"))(file, &found) == 0 && S_ISREG(found.st_mode)) {
        switch (request) {
        case BLKGETSIZE64: *(unsigned long long *)argument = found.st_size; return 0;
        case BLKSSZGET: case BLKPBSZGET: *(int *)argument = 512; return 0;
        case BLKBSZGET: *(int *)argument = 4096; return 0;
        case BLKRAGET: *(long *)argument = 256; return 0;
        case BLKROGET: *(int *)argument = 0; return 0;
        case BLKFLSBUF: case BLKDISCARD: return 0;
        }
    }
    return ((int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl"))(file, request, argument);
}
