/* Preloaded into a program, it keeps what a loss of power would leave of the files whose path begins with TINPOT_TEST_DISK, in the directory
 * TINPOT_TEST_LEFT: of each file what was written before it was last synchronised, and nothing else. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 4096

struct range {
  off_t begin, end;
};

/* What is known of a file descriptor. */
static struct file {
  enum { UNKNOWN, OTHER, OURS } kind;
  int left;
  struct range *dirty;
  size_t count, room;
} files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void give_up(const char *what) {
  dprintf(2, "power_loss.c: %s\n", what);
  abort();
}

/* Where the file at `path` is kept; whether it is one of those that are watched. */
static int kept(const char *path, char *left, size_t room) {
  const char *disk = getenv("TINPOT_TEST_DISK"), *directory = getenv("TINPOT_TEST_LEFT");
  /* The index of the write-ahead log is made anew after a crash. */
  if (!disk || !directory || strncmp(path, disk, strlen(disk)) || strstr(path, "-shm")) return 0;
  snprintf(left, room, "%s/%s", directory, strrchr(path, '/') + 1);
  return 1;
}

/* The file of a descriptor, when it is one of those that are watched; called with the lock. */
static struct file *watched(int fd) {
  if (fd < 0 || fd >= FILES) return NULL;
  struct file *file = &files[fd];
  if (file->kind == UNKNOWN) {
    char link[64], path[4096], left[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    file->kind = OTHER;
    if (kept(path, left, sizeof left)) {
      file->left = open(left, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      if (file->left < 0) give_up("cannot write what is left");
      file->kind = OURS;
    }
  }
  return file->kind == OURS ? file : NULL;
}

static void wrote(int fd, off_t begin, ssize_t length) {
  if (length <= 0) return;
  pthread_mutex_lock(&lock);
  struct file *file = watched(fd);
  if (file) {
    if (file->count == file->room) {
      file->room = file->room ? file->room * 2 : 64;
      file->dirty = realloc(file->dirty, file->room * sizeof *file->dirty);
      if (!file->dirty) give_up("out of memory");
    }
    file->dirty[file->count++] = (struct range){begin, begin + length};
  }
  pthread_mutex_unlock(&lock);
}

/* All descriptors of one file are synchronised together. */
static void synchronised(int fd) {
  struct stat this, other;
  static char buffer[1 << 16];
  pthread_mutex_lock(&lock);
  if (watched(fd) && !fstat(fd, &this)) {
    for (int at = 0; at < FILES; at++) {
      struct file *file = &files[at];
      if (file->kind != OURS || fstat(at, &other) || other.st_ino != this.st_ino || other.st_dev != this.st_dev) continue;
      for (size_t place = 0; place < file->count; place++) {
        struct range range = file->dirty[place];
        while (range.begin < range.end) {
          size_t wanted = range.end - range.begin < (off_t)sizeof buffer ? (size_t)(range.end - range.begin) : sizeof buffer;
          ssize_t got = pread(at, buffer, wanted, range.begin);
          if (got <= 0) break;
          if (syscall(SYS_pwrite64, file->left, buffer, got, range.begin) != got) give_up("cannot write what is left");
          range.begin += got;
        }
      }
      file->count = 0;
      struct stat left;
      if (!fstat(file->left, &left) && left.st_size > this.st_size && syscall(SYS_ftruncate, file->left, this.st_size)) give_up("cannot cut what is left");
    }
  }
  pthread_mutex_unlock(&lock);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  ssize_t result = syscall(SYS_write, fd, bytes, length);
  if (result > 0 && fd < FILES && files[fd].kind != OTHER) wrote(fd, lseek(fd, 0, SEEK_CUR) - result, result);
  return result;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
  ssize_t result = syscall(SYS_pwrite64, fd, bytes, length, at);
  wrote(fd, at, result);
  return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

int fsync(int fd) {
  int result = (int)syscall(SYS_fsync, fd);
  if (result == 0) synchronised(fd);
  return result;
}

int fdatasync(int fd) {
  int result = (int)syscall(SYS_fdatasync, fd);
  if (result == 0) synchronised(fd);
  return result;
}

/* SQLite synchronises the directory right after. */
int unlink(const char *path) {
  char left[4096];
  if (kept(path, left, sizeof left)) syscall(SYS_unlink, left);
  return (int)syscall(SYS_unlink, path);
}

int close(int fd) {
  if (fd >= 0 && fd < FILES && files[fd].kind != UNKNOWN) {
    pthread_mutex_lock(&lock);
    struct file *file = &files[fd];
    if (file->kind == OURS) {
      /* What was not synchronised by this descriptor may be by another one: a loss of power before that loses it all the same. */
      syscall(SYS_close, file->left);
      free(file->dirty);
    }
    memset(file, 0, sizeof *file);
    pthread_mutex_unlock(&lock);
  }
  return (int)syscall(SYS_close, fd);
}
