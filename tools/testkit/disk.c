/*
 * A disk that fails on demand: a library for LD_PRELOAD that answers calls on files with errors.
 *
 *   cc -shared -fPIC -O2 -o disk.so disk.c
 *   DISK_FAULTS=/path/of/rules LD_PRELOAD=/path/of/disk.so PROGRAM
 *
 * The file of rules is read at every call, so that faults begin and end while the program runs. A
 * missing or empty file means a healthy disk. It has one rule a line:
 *
 *   ERROR CALL SKIP COUNT PATH
 *
 *   ERROR  EIO, ENOSPC, EDQUOT, EROFS, EACCES, ENOMEM or EMFILE
 *   CALL   write (write, pwrite, their vector forms), sync (fsync, fdatasync), truncate, allocate,
 *          open (for any use), open-write (to write), read (read, pread, their vector forms), unlink
 *   SKIP   how many matching calls succeed before the first one fails
 *   COUNT  how many calls then fail; "*" means all of them
 *   PATH   text that the path of the file contains; it may have spaces. A "$" at its end stands for
 *          the end of the path
 *
 * The first matching rule with a SKIP or COUNT above zero decides. Each matching call lowers the
 * number in place, with leading zeros, so that the file also shows the rest of each rule. All
 * processes that share the file share its numbers. The program must be able to write the file. A
 * failing call does nothing else: nothing is written, truncated or removed.
 *
 * Only 64-bit Linux is supported.
 */
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef __LP64__
#error "64-bit only: the positions of pwrite and ftruncate are passed whole"
#endif

/* Most bytes of rules that are read. */
#define MOST 8192

struct error { const char *name; int number; };

static const struct error errors[] = {
    {"EIO", EIO},     {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS},
    {"EACCES", EACCES}, {"ENOMEM", ENOMEM}, {"EMFILE", EMFILE},
};

/* The library's own calls go to the kernel directly: they must not meet its faults. */
static long own_open(const char *path) {
    return syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
}

static int error_number(const char *name, size_t length) {
    for (size_t n = 0; n < sizeof errors / sizeof *errors; n++)
        if (strlen(errors[n].name) == length && !memcmp(errors[n].name, name, length))
            return errors[n].number;
    return 0;
}

/* The next word of a line, up to a space; its length is 0 at the end of the line. */
static char *word(char **at, size_t *length) {
    while (**at == ' ') ++*at;
    char *begin = *at;
    while (**at && **at != ' ' && **at != '\n') ++*at;
    *length = (size_t)(*at - begin);
    return begin;
}

/* Lowers a number of the file in place. Returns 0 where it is zero already. */
static int take(int file, const char *rules, char *number, size_t length) {
    if (length == 1 && *number == '*') return 1;
    long left = strtol(number, NULL, 10);
    if (left <= 0 || length > 18) return 0;
    char text[24];
    snprintf(text, sizeof text, "%0*ld", (int)length, left - 1);
    memcpy(number, text, length);
    syscall(SYS_pwrite64, file, number, length, (off_t)(number - rules));
    return 1;
}

/* Whether a path contains a part, or ends in it. */
static int meets(const char *path, char *part, size_t length) {
    if (part[length - 1] != '$') return strstr(path, part) != NULL;
    part[--length] = 0;
    size_t all = strlen(path);
    return all >= length && !strcmp(path + all - length, part);
}

/* What one rule says about a call: an error, 0 for success, or -1 where it does not apply. */
static int apply(int file, const char *rules, char *line, const char *call, const char *path) {
    size_t length;
    char *name = word(&line, &length);
    int error = error_number(name, length);
    char *which = word(&line, &length);
    if (!error || strlen(call) != length || memcmp(which, call, length)) return -1;
    size_t skip_length, count_length;
    char *skip = word(&line, &skip_length);
    char *count = word(&line, &count_length);
    while (*line == ' ') line++;
    char part[PATH_MAX];
    size_t end = strcspn(line, "\n");
    if (!end || end >= sizeof part) return -1;
    memcpy(part, line, end);
    part[end] = 0;
    if (!meets(path, part, end)) return -1;
    if (take(file, rules, skip, skip_length)) return 0;
    return take(file, rules, count, count_length) ? error : -1;
}

/* The error that a call on a path meets, or 0. */
static int fault_of_path(const char *call, const char *path) {
    const char *control = getenv("DISK_FAULTS");
    if (!control) return 0;
    int before = errno, error = 0;
    int file = (int)own_open(control);
    if (file < 0) {
        errno = before;
        return 0;
    }
    char rules[MOST + 1];
    syscall(SYS_flock, file, LOCK_EX);
    long size = syscall(SYS_pread64, file, rules, MOST, 0);
    rules[size > 0 ? size : 0] = 0;
    for (char *line = rules; *line;) {
        char *next = line + strcspn(line, "\n");
        if (*next) next++;
        int said = apply(file, rules, line, call, path);
        if (said >= 0) {
            error = said;
            break;
        }
        line = next;
    }
    syscall(SYS_close, file);
    errno = before;
    return error;
}

/* The error that a call on an open file meets, or 0. */
static int fault(const char *call, int file) {
    if (!getenv("DISK_FAULTS")) return 0;
    int before = errno;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    errno = before;
    if (length <= 0) return 0;
    path[length] = 0;
    return fault_of_path(call, path);
}

#define FAIL(call, file) \
    do { \
        int error_ = fault(call, file); \
        if (error_) { errno = error_; return -1; } \
    } while (0)

/* A position of a vector call, in the two halves that the kernel takes: the high one is unused. */
#define HALVES(position) (position), 0L

ssize_t write(int file, const void *from, size_t size) {
    FAIL("write", file);
    return syscall(SYS_write, file, from, size);
}

ssize_t pwrite(int file, const void *from, size_t size, off_t at) {
    FAIL("write", file);
    return syscall(SYS_pwrite64, file, from, size, at);
}

ssize_t pwrite64(int file, const void *from, size_t size, off64_t at) {
    return pwrite(file, from, size, at);
}

ssize_t writev(int file, const struct iovec *from, int parts) {
    FAIL("write", file);
    return syscall(SYS_writev, file, from, parts);
}

ssize_t pwritev(int file, const struct iovec *from, int parts, off_t at) {
    FAIL("write", file);
    return syscall(SYS_pwritev, file, from, parts, HALVES(at));
}

ssize_t pwritev64(int file, const struct iovec *from, int parts, off64_t at) {
    return pwritev(file, from, parts, at);
}

ssize_t read(int file, void *to, size_t size) {
    FAIL("read", file);
    return syscall(SYS_read, file, to, size);
}

ssize_t pread(int file, void *to, size_t size, off_t at) {
    FAIL("read", file);
    return syscall(SYS_pread64, file, to, size, at);
}

ssize_t pread64(int file, void *to, size_t size, off64_t at) {
    return pread(file, to, size, at);
}

ssize_t readv(int file, const struct iovec *to, int parts) {
    FAIL("read", file);
    return syscall(SYS_readv, file, to, parts);
}

ssize_t preadv(int file, const struct iovec *to, int parts, off_t at) {
    FAIL("read", file);
    return syscall(SYS_preadv, file, to, parts, HALVES(at));
}

ssize_t preadv64(int file, const struct iovec *to, int parts, off64_t at) {
    return preadv(file, to, parts, at);
}

int fsync(int file) {
    FAIL("sync", file);
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    FAIL("sync", file);
    return (int)syscall(SYS_fdatasync, file);
}

int ftruncate(int file, off_t size) {
    FAIL("truncate", file);
    return (int)syscall(SYS_ftruncate, file, size);
}

int ftruncate64(int file, off64_t size) { return ftruncate(file, size); }

int fallocate(int file, int mode, off_t at, off_t size) {
    FAIL("allocate", file);
    return (int)syscall(SYS_fallocate, file, mode, at, size);
}

int fallocate64(int file, int mode, off64_t at, off64_t size) {
    return fallocate(file, mode, at, size);
}

/* These two return the error's number. */
int posix_fallocate(int file, off_t at, off_t size) {
    int error = fault("allocate", file);
    if (error) return error;
    int before = errno;
    if (syscall(SYS_fallocate, file, 0, at, size) < 0) error = errno;
    errno = before;
    return error;
}

int posix_fallocate64(int file, off64_t at, off64_t size) {
    return posix_fallocate(file, at, size);
}

/* The path that an openat or unlinkat means, as far as it is known without a look at the disk. */
static const char *full(int folder, const char *path, char *whole, size_t most) {
    if (*path == '/') return path;
    int before = errno;
    char link[64] = "/proc/self/cwd";
    if (folder != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, whole, most - 1);
    errno = before;
    if (length <= 0 || (size_t)length + strlen(path) + 2 > most) return path;
    whole[length] = '/';
    strcpy(whole + length + 1, path);
    return whole;
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX * 2];
    int error = 0;
    if (getenv("DISK_FAULTS")) {
        const char *named = full(folder, path, whole, sizeof whole);
        error = fault_of_path("open", named);
        if (!error && (flags & O_ACCMODE) != O_RDONLY) error = fault_of_path("open-write", named);
    }
    if (error) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

/* The mode is there only where a file may be made. */
#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(folder, path, flags, mode);
}

/* What a compiler that checks sizes (_FORTIFY_SOURCE) calls instead. */
int __open_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
ssize_t __read_chk(int file, void *to, size_t size, size_t room) {
    if (size > room) abort();
    return read(file, to, size);
}
ssize_t __pread_chk(int file, void *to, size_t size, off_t at, size_t room) {
    if (size > room) abort();
    return pread(file, to, size, at);
}
ssize_t __pread64_chk(int file, void *to, size_t size, off64_t at, size_t room) {
    if (size > room) abort();
    return pread(file, to, size, at);
}

int unlinkat(int folder, const char *path, int flags) {
    char whole[PATH_MAX * 2];
    int error = 0;
    if (getenv("DISK_FAULTS"))
        error = fault_of_path("unlink", full(folder, path, whole, sizeof whole));
    if (error) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
