/* Preloaded into a program, it fills the disk under the files whose path begins with TEST_DISK: as many more bytes can be written to them
 * as the file TEST_ROOM says now. What is beyond is not written, as on any disk: a part of it may be. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 4096

static _Atomic long *room;
/* Of each file descriptor: 0 when nothing is known of it, 1 when it is another file's, 2 when it is one of ours. */
static _Atomic char kinds[FILES];

__attribute__((constructor)) static void find(void) {
  const char *path = getenv("TEST_ROOM");
  int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *room, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) abort();
  room = page;
  close(file);
}

static int is_ours(int fd) {
  if (!room || fd < 0 || fd >= FILES) return 0;
  if (!kinds[fd]) {
    const char *disk = getenv("TEST_DISK");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    kinds[fd] = disk && !strncmp(path, disk, strlen(disk)) ? 2 : 1;
  }
  return kinds[fd] == 2;
}

/* How much of a write fits; -1 with ENOSPC when nothing does. */
static ssize_t fits(int fd, size_t length) {
  if (!is_ours(fd) || length == 0) return (ssize_t)length;
  long before = atomic_load(room), taken;
  do {
    taken = before < (long)length ? before : (long)length;
    if (taken <= 0) {
      errno = ENOSPC;
      return -1;
    }
  } while (!atomic_compare_exchange_weak(room, &before, before - taken));
  return taken;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  ssize_t taken = fits(fd, length);
  return taken < 0 ? -1 : syscall(SYS_write, fd, bytes, taken);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
  ssize_t taken = fits(fd, length);
  return taken < 0 ? -1 : syscall(SYS_pwrite64, fd, bytes, taken, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

int close(int fd) {
  if (fd >= 0 && fd < FILES) kinds[fd] = 0;
  return (int)syscall(SYS_close, fd);
}
