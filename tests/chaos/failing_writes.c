/* Preloaded into a process: some system calls that write below CHAOS_ROOT fail.

   Opening to write, writing, syncing, renaming, linking and making folders fail with EIO or
   EACCES in CHAOS_PERCENT of all cases. How many failed, of how many, goes to a file named by
   the process in CHAOS_COUNTS, when the process ends or has made another hundred calls. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long failed, tried;
static unsigned seed;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void save(void) {
  const char *folder = getenv("CHAOS_COUNTS");
  char path[4096], text[64];
  if (!folder || !tried) return;
  snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
  int file = REAL(open)(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  int length = snprintf(text, sizeof text, "%ld %ld\n", failed, tried);
  if (file >= 0) {
    if (REAL(write)(file, text, (size_t)length) < 0) { /* nothing can be done */ }
    close(file);
  }
}

static int below(const char *path) {
  const char *root = getenv("CHAOS_ROOT");
  return root && path && !strncmp(path, root, strlen(root));
}

static int fails(const char *path) {
  const char *percent = getenv("CHAOS_PERCENT");
  if (!percent || !below(path)) return 0;
  const char *start = getenv("CHAOS_SEED");
  if (!seed) seed = (unsigned)(start ? atoi(start) : 0) * 2654435761u + 1u;
  tried++;
  int hit = rand_r(&seed) % 1000 < atof(percent) * 10;
  if (hit) {
    failed++;
    errno = failed % 2 ? EIO : EACCES;
  }
  int error = errno;
  save();
  errno = error;
  return hit;
}

static int file_fails(int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return fails(path);
}

static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

#define OPEN(name)                                              \
  int name(const char *path, int flags, ...) {                  \
    va_list rest;                                               \
    va_start(rest, flags);                                      \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;   \
    va_end(rest);                                               \
    if (writes(flags) && fails(path)) return -1;                \
    return REAL(name)(path, flags, mode);                       \
  }
OPEN(open)
OPEN(open64)

ssize_t write(int file, const void *data, size_t size) {
  return file > 2 && file_fails(file) ? -1 : REAL(write)(file, data, size);
}
int fsync(int file) { return file_fails(file) ? -1 : REAL(fsync)(file); }
int rename(const char *from, const char *to) { return fails(to) ? -1 : REAL(rename)(from, to); }
int link(const char *from, const char *to) { return fails(to) ? -1 : REAL(link)(from, to); }
int mkdir(const char *path, mode_t mode) { return fails(path) ? -1 : REAL(mkdir)(path, mode); }
