/* Preloaded into a process: the power fails at some of the system calls that write below CHAOS_ROOT.

   Calls that open to write, sync, rename, link, make or remove are counted. Before those whose
   number is in CHAOS_CUTS ("3,17,40") the block device CHAOS_IMAGE is copied to CHAOS_IMAGE.N:
   what would be found on it had the power gone at that moment. How many calls were counted goes
   to the file CHAOS_CALLS. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long calls;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int wanted(long call) {
  const char *text = getenv("CHAOS_CUTS");
  while (text && *text) {
    char *end;
    if (strtol(text, &end, 10) == call) return 1;
    text = *end ? end + 1 : end;
  }
  return 0;
}

static void copy_device(long call) {
  const char *image = getenv("CHAOS_IMAGE");
  char target[PATH_MAX], *block = malloc(1 << 20);
  snprintf(target, sizeof target, "%s.%ld", image, call);
  int from = REAL(open)(image, O_RDONLY), to = REAL(open)(target, O_WRONLY | O_CREAT | O_EXCL, 0600);
  off_t size = lseek(from, 0, SEEK_END), start = 0;
  if (from < 0 || to < 0 || ftruncate(to, size)) abort();
  /* Holes stay holes: an image is mostly empty. */
  while ((start = lseek(from, start, SEEK_DATA)) >= 0 && start < size) {
    off_t end = lseek(from, start, SEEK_HOLE);
    for (ssize_t got; start < end; start += got) {
      size_t length = end - start < 1 << 20 ? (size_t)(end - start) : 1 << 20;
      got = pread(from, block, length, start);
      if (got <= 0 || pwrite(to, block, (size_t)got, start) != got) abort();
    }
  }
  free(block);
  close(from);
  close(to);
}

static void count(void) {
  char text[32];
  int error = errno;
  pthread_mutex_lock(&lock);
  calls++;
  if (wanted(calls)) copy_device(calls);
  int file = REAL(open)(getenv("CHAOS_CALLS"), O_WRONLY | O_CREAT, 0600);
  int length = snprintf(text, sizeof text, "%ld\n", calls);
  if (file < 0 || REAL(write)(file, text, (size_t)length) < 0) abort();
  close(file);
  pthread_mutex_unlock(&lock);
  errno = error;
}

static void at(int folder, const char *path) {
  const char *root = getenv("CHAOS_ROOT");
  char link[64], whole[2 * PATH_MAX];
  if (!root || !path) return;
  whole[0] = 0;
  if (*path != '/') {
    if (folder == AT_FDCWD) {
      if (!getcwd(whole, PATH_MAX)) return;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
      ssize_t length = readlink(link, whole, PATH_MAX - 1);
      if (length <= 0) return;
      whole[length] = 0;
    }
    strcat(whole, "/");
  }
  strncat(whole, path, PATH_MAX);
  if (!strncmp(whole, root, strlen(root))) count();
}

static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

#define OPEN(name)                                             \
  int name(const char *path, int flags, ...) {                 \
    va_list rest;                                              \
    va_start(rest, flags);                                     \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;  \
    va_end(rest);                                              \
    if (writes(flags)) at(AT_FDCWD, path);                     \
    return REAL(name)(path, flags, mode);                      \
  }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                           \
  int name(int folder, const char *path, int flags, ...) {     \
    va_list rest;                                              \
    va_start(rest, flags);                                     \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;  \
    va_end(rest);                                              \
    if (writes(flags)) at(folder, path);                       \
    return REAL(name)(folder, path, flags, mode);              \
  }
OPENAT(openat)
OPENAT(openat64)

int fsync(int file) { at(file, ""); return REAL(fsync)(file); }
int fdatasync(int file) { at(file, ""); return REAL(fdatasync)(file); }
int rename(const char *from, const char *to) { at(AT_FDCWD, to); return REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) {
  at(b, to);
  return REAL(renameat)(a, from, b, to);
}
int link(const char *from, const char *to) { at(AT_FDCWD, to); return REAL(link)(from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
  at(b, to);
  return REAL(linkat)(a, from, b, to, flags);
}
int mkdir(const char *path, mode_t mode) { at(AT_FDCWD, path); return REAL(mkdir)(path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) {
  at(folder, path);
  return REAL(mkdirat)(folder, path, mode);
}
int unlink(const char *path) { at(AT_FDCWD, path); return REAL(unlink)(path); }
int unlinkat(int folder, const char *path, int flags) {
  at(folder, path);
  return REAL(unlinkat)(folder, path, flags);
}
int rmdir(const char *path) { at(AT_FDCWD, path); return REAL(rmdir)(path); }
