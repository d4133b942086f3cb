/* Faults below a program, by LD_PRELOAD: the calls that change files below one directory are counted and written down,
 * and chosen ones of them fail. The plan is a file that OCCYSTRAP_FAULTS names, mapped by the program and by the test
 * that sets it (shim.py has the same layout): it can change while the program runs.
 *
 * Only what concerns regular files and directories below the plan's root counts: never output, sockets or pipes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN, WRITE, TRUNCATE, SYNC, RENAME, LINK, MAKE, REMOVE, CLOSE, ATTRIBUTE, LOCK, KINDS };

enum { ONCE, FROM, ALTERNATE };
/* A fault at one call; at it and all later ones, where a first write still does half; at every other one. */

enum { SHORT = -1 };
/* Instead of an errno: the call does half of what it was asked to. */

struct plan {
    char root[PATH_MAX];
    int target;       /* the number of the call that fails, from 0; -1 for none */
    int how;          /* ONCE, FROM, ALTERNATE */
    int fault;        /* an errno, or SHORT */
    unsigned kinds;   /* a bit for each kind of call that fails, under FROM and ALTERNATE */
    int calls;        /* counted so far */
    int failed;       /* of these */
    unsigned used;    /* bytes of the log: lines KIND FUNCTION PATH */
    char log[1 << 20];
};

static struct plan *plan;

__attribute__((constructor)) static void load(void)
{
    const char *path = getenv("OCCYSTRAP_FAULTS");
    int descriptor = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
    void *mapped = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
    if (mapped != MAP_FAILED)
        plan = mapped;
}

static int opened(int descriptor, char *path, size_t room)
{
    char link[64];
    if (descriptor == AT_FDCWD)
        strcpy(link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, room - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

static int named(int directory, const char *name, char *path)
{
    char above[PATH_MAX];
    if (!name)
        return opened(directory, path, PATH_MAX);
    if (name[0] == '/')
        return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    return opened(directory, above, sizeof above)
        && snprintf(path, PATH_MAX, "%s%s%s", above, name[0] ? "/" : "", name) < PATH_MAX;
}

static void write_down(const char *kind, const char *function, const char *path)
{
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s %s %s", kind, function, path);
    if (length < 0 || length >= (int)sizeof line - 1)
        return;
    for (char *each = line; *each; each++)
        if (*each == '\n')
            *each = '?';
    line[length++] = '\n';
    unsigned at = __atomic_fetch_add(&plan->used, (unsigned)length, __ATOMIC_SEQ_CST);
    if (at + (unsigned)length <= sizeof plan->log)
        memcpy(plan->log + at, line, (size_t)length);
}

static const char *const names[KINDS] = {
    "open", "write", "truncate", "sync", "rename", "link", "make", "remove", "close", "attribute", "lock",
};

/* Count a call; return 0, or the fault that it gets. */
static int fault_at(int kind, const char *function, int directory, const char *name)
{
    char path[PATH_MAX];
    int before = errno, fault = 0;
    if (!plan || !plan->root[0])
        return 0;
    size_t length = strlen(plan->root);
    if (named(directory, name, path) && !strncmp(path, plan->root, length)
        && (path[length] == '/' || !path[length])) {
        write_down(names[kind], function, path);
        int number = __atomic_fetch_add(&plan->calls, 1, __ATOMIC_SEQ_CST);
        int past = number - plan->target, chosen = plan->target >= 0 && (plan->kinds >> kind & 1);
        if (plan->target >= 0 && (plan->how == ONCE ? past == 0 : chosen && past >= 0
                                  && (plan->how == FROM || past % 2 == 0))) {
            fault = past == 0 && plan->how == FROM && kind == WRITE && plan->fault > 0 ? SHORT : plan->fault;
            __atomic_fetch_add(&plan->failed, 1, __ATOMIC_SEQ_CST);
        }
    }
    errno = before;
    return fault;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

#define FAIL(fault) do { errno = (fault); return -1; } while (0)

/* A short write does half; of a single byte half is all. */
static size_t halved(int fault, size_t count)
{
    return fault == SHORT && count > 1 ? count / 2 : count;
}

ssize_t write(int descriptor, const void *data, size_t count)
{
    int fault = fault_at(WRITE, "write", descriptor, NULL);
    if (fault > 0)
        FAIL(fault);
    return REAL(write)(descriptor, data, halved(fault, count));
}

#define PWRITE(function, offset_type) \
    ssize_t function(int descriptor, const void *data, size_t count, offset_type offset) \
    { \
        int fault = fault_at(WRITE, #function, descriptor, NULL); \
        if (fault > 0) \
            FAIL(fault); \
        return REAL(function)(descriptor, data, halved(fault, count), offset); \
    }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

/* A short one takes the first piece alone. */
#define WRITEV(function, parameters, arguments) \
    ssize_t function parameters \
    { \
        int fault = fault_at(WRITE, #function, descriptor, NULL); \
        if (fault > 0) \
            FAIL(fault); \
        if (fault == SHORT && count > 1) \
            count = 1; \
        return REAL(function) arguments; \
    }

WRITEV(writev, (int descriptor, const struct iovec *pieces, int count), (descriptor, pieces, count))
WRITEV(pwritev, (int descriptor, const struct iovec *pieces, int count, off_t offset),
       (descriptor, pieces, count, offset))
WRITEV(pwritev64, (int descriptor, const struct iovec *pieces, int count, off64_t offset),
       (descriptor, pieces, count, offset))
WRITEV(pwritev2, (int descriptor, const struct iovec *pieces, int count, off_t offset, int flags),
       (descriptor, pieces, count, offset, flags))
WRITEV(pwritev64v2, (int descriptor, const struct iovec *pieces, int count, off64_t offset, int flags),
       (descriptor, pieces, count, offset, flags))

#define SENDFILE(function, offset_type) \
    ssize_t function(int target, int source, offset_type *offset, size_t count) \
    { \
        int fault = fault_at(WRITE, #function, target, NULL); \
        if (fault > 0) \
            FAIL(fault); \
        return REAL(function)(target, source, offset, halved(fault, count)); \
    }

SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(int source, off64_t *from, int target, off64_t *to, size_t count, unsigned flags)
{
    int fault = fault_at(WRITE, "copy_file_range", target, NULL);
    if (fault > 0)
        FAIL(fault);
    return REAL(copy_file_range)(source, from, target, to, halved(fault, count), flags);
}

/* Calls that do all or nothing: to be asked for half is to be asked for all. */
#define WHOLE(type, kind, function, parameters, arguments, directory, name) \
    type function parameters \
    { \
        int fault = fault_at(kind, #function, directory, name); \
        if (fault > 0) \
            FAIL(fault); \
        return REAL(function) arguments; \
    }

WHOLE(int, TRUNCATE, ftruncate, (int descriptor, off_t size), (descriptor, size), descriptor, NULL)
WHOLE(int, TRUNCATE, ftruncate64, (int descriptor, off64_t size), (descriptor, size), descriptor, NULL)
WHOLE(int, TRUNCATE, truncate, (const char *path, off_t size), (path, size), AT_FDCWD, path)
WHOLE(int, TRUNCATE, fallocate, (int descriptor, int mode, off_t offset, off_t size),
      (descriptor, mode, offset, size), descriptor, NULL)
WHOLE(int, TRUNCATE, fallocate64, (int descriptor, int mode, off64_t offset, off64_t size),
      (descriptor, mode, offset, size), descriptor, NULL)

#define POSIX_FALLOCATE(function, offset_type) \
    int function(int descriptor, offset_type offset, offset_type size) \
    { \
        int fault = fault_at(TRUNCATE, #function, descriptor, NULL); \
        return fault > 0 ? fault : REAL(function)(descriptor, offset, size); \
    }

POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

WHOLE(int, SYNC, fsync, (int descriptor), (descriptor), descriptor, NULL)
WHOLE(int, SYNC, fdatasync, (int descriptor), (descriptor), descriptor, NULL)
WHOLE(int, SYNC, syncfs, (int descriptor), (descriptor), descriptor, NULL)
WHOLE(int, SYNC, sync_file_range, (int descriptor, off64_t offset, off64_t count, unsigned flags),
      (descriptor, offset, count, flags), descriptor, NULL)

WHOLE(int, RENAME, rename, (const char *old, const char *path), (old, path), AT_FDCWD, path)
WHOLE(int, RENAME, renameat, (int above, const char *old, int directory, const char *name),
      (above, old, directory, name), directory, name)
WHOLE(int, RENAME, renameat2, (int above, const char *old, int directory, const char *name, unsigned flags),
      (above, old, directory, name, flags), directory, name)

WHOLE(int, LINK, link, (const char *old, const char *path), (old, path), AT_FDCWD, path)
WHOLE(int, LINK, linkat, (int above, const char *old, int directory, const char *name, int flags),
      (above, old, directory, name, flags), directory, name)
WHOLE(int, LINK, symlink, (const char *target, const char *path), (target, path), AT_FDCWD, path)
WHOLE(int, LINK, symlinkat, (const char *target, int directory, const char *name),
      (target, directory, name), directory, name)

WHOLE(int, MAKE, mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
WHOLE(int, MAKE, mkdirat, (int directory, const char *name, mode_t mode), (directory, name, mode), directory, name)
WHOLE(int, MAKE, mknod, (const char *path, mode_t mode, dev_t device), (path, mode, device), AT_FDCWD, path)
WHOLE(int, MAKE, mknodat, (int directory, const char *name, mode_t mode, dev_t device),
      (directory, name, mode, device), directory, name)
WHOLE(int, MAKE, mkfifo, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
WHOLE(int, MAKE, mkfifoat, (int directory, const char *name, mode_t mode), (directory, name, mode), directory, name)

WHOLE(int, REMOVE, unlink, (const char *path), (path), AT_FDCWD, path)
WHOLE(int, REMOVE, unlinkat, (int directory, const char *name, int flags), (directory, name, flags), directory, name)
WHOLE(int, REMOVE, rmdir, (const char *path), (path), AT_FDCWD, path)

WHOLE(int, ATTRIBUTE, fchmod, (int descriptor, mode_t mode), (descriptor, mode), descriptor, NULL)
WHOLE(int, ATTRIBUTE, fchmodat, (int directory, const char *name, mode_t mode, int flags),
      (directory, name, mode, flags), directory, name)
WHOLE(int, ATTRIBUTE, chmod, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
WHOLE(int, ATTRIBUTE, fchown, (int descriptor, uid_t owner, gid_t group), (descriptor, owner, group), descriptor, NULL)
WHOLE(int, ATTRIBUTE, fchownat, (int directory, const char *name, uid_t owner, gid_t group, int flags),
      (directory, name, owner, group, flags), directory, name)
WHOLE(int, ATTRIBUTE, chown, (const char *path, uid_t owner, gid_t group), (path, owner, group), AT_FDCWD, path)
WHOLE(int, ATTRIBUTE, lchown, (const char *path, uid_t owner, gid_t group), (path, owner, group), AT_FDCWD, path)
WHOLE(int, ATTRIBUTE, futimens, (int descriptor, const struct timespec times[2]), (descriptor, times), descriptor, NULL)
WHOLE(int, ATTRIBUTE, utimensat, (int directory, const char *name, const struct timespec times[2], int flags),
      (directory, name, times, flags), directory, name)
int setxattr(const char *, const char *, const void *, size_t, int);
int lsetxattr(const char *, const char *, const void *, size_t, int);
int fsetxattr(int, const char *, const void *, size_t, int);
WHOLE(int, ATTRIBUTE, setxattr, (const char *path, const char *name, const void *value, size_t size, int flags),
      (path, name, value, size, flags), AT_FDCWD, path)
WHOLE(int, ATTRIBUTE, lsetxattr, (const char *path, const char *name, const void *value, size_t size, int flags),
      (path, name, value, size, flags), AT_FDCWD, path)
WHOLE(int, ATTRIBUTE, fsetxattr, (int descriptor, const char *name, const void *value, size_t size, int flags),
      (descriptor, name, value, size, flags), descriptor, NULL)

int flock(int, int);
WHOLE(int, LOCK, flock, (int descriptor, int operation), (descriptor, operation), descriptor, NULL)

/* What opens to read only counts for nothing: it leaves nothing. */
static int opens(const char *function, int directory, const char *name, int flags)
{
    int makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE || (flags & O_TRUNC);
    return makes ? fault_at(OPEN, function, directory, name) : 0;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPENED(function, parameters, arguments, directory) \
    int function parameters \
    { \
        MODE(flags) \
        int fault = opens(#function, directory, name, flags); \
        if (fault > 0) \
            FAIL(fault); \
        return REAL(function) arguments; \
    }

OPENED(open, (const char *name, int flags, ...), (name, flags, mode), AT_FDCWD)
OPENED(open64, (const char *name, int flags, ...), (name, flags, mode), AT_FDCWD)
OPENED(openat, (int directory, const char *name, int flags, ...), (directory, name, flags, mode), directory)
OPENED(openat64, (int directory, const char *name, int flags, ...), (directory, name, flags, mode), directory)

/* What was written is given up together with the descriptor, as Linux does, whatever close returns. */
int close(int descriptor)
{
    int flags = plan && plan->root[0] ? fcntl(descriptor, F_GETFL) : -1;
    int counts = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
    int fault = counts ? fault_at(CLOSE, "close", descriptor, NULL) : 0;
    int result = REAL(close)(descriptor);
    if (fault > 0)
        FAIL(fault);
    return result;
}

/* For calls that have no function in the C library, or are made past it. */
long syscall(long number, ...)
{
    va_list rest;
    va_start(rest, number);
    long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long);
    long d = va_arg(rest, long), e = va_arg(rest, long), f = va_arg(rest, long);
    va_end(rest);
    int fault = number == SYS_renameat2 ? fault_at(RENAME, "syscall", (int)c, (const char *)d) : 0;
    if (fault > 0)
        FAIL(fault);
    return REAL(syscall)(number, a, b, c, d, e, f);
}
