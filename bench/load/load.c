/*
 * The client of the benchmarks: threads that do what they are told with plain system calls, so that no runtime is the bound.
 *
 *   load ACT BLOCK FLAGS < JOBS
 *
 * JOBS has a line for each job, in order: THREAD TAB SIZE TAB PATH. All threads start together and do their jobs in turn.
 * BLOCK is the size of a write or read. FLAGS: any of f (fsync each file), d (O_DIRECT), - (none). Acts:
 *
 *   write    a new file of SIZE bytes           overwrite  SIZE bytes of a file that is there, from its start
 *   read     a file from start to end           scatter    SIZE / BLOCK reads of a file at places drawn by chance
 *   open     open and close                     first      open and read the first 4 KiB
 *   create   an empty file                      stat       lstat
 *   unlink   unlink                             brief      a file of SIZE bytes written, closed and unlinked at once
 *   strew    SIZE / BLOCK writes of a file at places drawn by chance
 *   extents  prints PATH TAB LOGICAL PHYSICAL LENGTH ... as FIEMAP has them
 *   xattr    prints PATH TAB the value of user.pacsfs.extents
 *
 * Prints one line of JSON at the end: what was done, seconds, processor seconds of this process, and how long a job took in
 * microseconds (open, first: without the close; create, write: with it). Ends with 1 at the first failure.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define EXTENTS_AT_A_TIME 256
#define FIRST_BYTES 4096
#define XATTR_BYTES 65536
#define ALIGNMENT 4096

struct job {
  int thread;
  long long size;
  char *path;
};

struct worker {
  pthread_t id;
  int number;
  long long files, bytes;
  double begin, end;
  uint64_t seed;
  char *buffer;
};

static struct job *jobs;
static uint32_t *times_us;
static long job_count;
static long long block;
static int with_fsync, with_direct;
static const char *act;
static pthread_barrier_t start_line;
static int (*perform)(struct worker *, const struct job *, double *);

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what, const char *path) {
  fprintf(stderr, "load: cannot %s %s: %s\n", what, path, strerror(errno));
  exit(1);
}

static uint64_t chance(struct worker *worker) {
  worker->seed ^= worker->seed << 13;
  worker->seed ^= worker->seed >> 7;
  worker->seed ^= worker->seed << 17;
  return worker->seed;
}

static int opened(const char *path, int flags) {
  int fd = open(path, flags | (with_direct ? O_DIRECT : 0), 0644);
  if (fd < 0) fail("open", path);
  return fd;
}

static void put(struct worker *worker, const struct job *job, int fd) {
  for (long long at = 0; at < job->size;) {
    long long want = job->size - at < block ? job->size - at : block;
    ssize_t count = write(fd, worker->buffer, want);
    if (count <= 0) fail("write", job->path);
    at += count;
  }
  if (with_fsync && fsync(fd) != 0) fail("fsync", job->path);
}

/* Each returns 0 and, in `end`, when what is timed was over; 0 there for the return itself. */
static int do_write(struct worker *worker, const struct job *job, double *end) {
  int fd = opened(job->path, O_WRONLY | O_CREAT | (strcmp(act, "overwrite") == 0 ? 0 : O_EXCL));
  memcpy(worker->buffer, &job->size, sizeof job->size);
  put(worker, job, fd);
  if (close(fd) != 0) fail("close", job->path);
  worker->bytes += job->size;
  return *end = 0, 0;
}

static int do_brief(struct worker *worker, const struct job *job, double *end) {
  do_write(worker, job, end);
  if (unlink(job->path) != 0) fail("unlink", job->path);
  return 0;
}

static int do_read(struct worker *worker, const struct job *job, double *end) {
  int fd = opened(job->path, O_RDONLY);
  for (ssize_t count = 1; count > 0; worker->bytes += count) {
    count = read(fd, worker->buffer, block);
    if (count < 0) fail("read", job->path);
  }
  close(fd);
  return *end = 0, 0;
}

static int do_scattered(struct worker *worker, const struct job *job, double *end) {
  int writes = strcmp(act, "strew") == 0;
  int fd = opened(job->path, writes ? O_WRONLY : O_RDONLY);
  struct stat found;
  if (fstat(fd, &found) != 0) fail("stat", job->path);
  uint64_t blocks = found.st_size / block;
  for (long long left = job->size / block; left > 0 && blocks > 0; left--) {
    off_t at = (off_t)(chance(worker) % blocks) * block;
    ssize_t count = writes ? pwrite(fd, worker->buffer, block, at) : pread(fd, worker->buffer, block, at);
    if (count != block) fail(act, job->path);
    worker->bytes += count;
  }
  if (with_fsync && fsync(fd) != 0) fail("fsync", job->path);
  close(fd);
  return *end = 0, 0;
}

static int do_open(struct worker *worker, const struct job *job, double *end) {
  int fd = opened(job->path, O_RDONLY);
  if (strcmp(act, "first") == 0) {
    ssize_t count = read(fd, worker->buffer, FIRST_BYTES);
    if (count < 0) fail("read", job->path);
    worker->bytes += count;
  }
  *end = now();
  close(fd);
  return 0;
}

static int do_create(struct worker *worker, const struct job *job, double *end) {
  (void)worker;
  close(opened(job->path, O_WRONLY | O_CREAT | O_EXCL));
  return *end = 0, 0;
}

static int do_stat(struct worker *worker, const struct job *job, double *end) {
  struct stat found;
  if (lstat(job->path, &found) != 0) fail("stat", job->path);
  (void)worker;
  return *end = 0, 0;
}

static int do_unlink(struct worker *worker, const struct job *job, double *end) {
  if (unlink(job->path) != 0) fail("unlink", job->path);
  (void)worker;
  return *end = 0, 0;
}

static int do_extents(struct worker *worker, const struct job *job, double *end) {
  struct fiemap *map = calloc(1, sizeof *map + EXTENTS_AT_A_TIME * sizeof(struct fiemap_extent));
  int fd = opened(job->path, O_RDONLY), is_last = 0;
  printf("%s\t", job->path);
  for (uint64_t start = 0; !is_last;) {
    memset(map, 0, sizeof *map);
    map->fm_start = start;
    map->fm_length = FIEMAP_MAX_OFFSET - start;
    map->fm_extent_count = EXTENTS_AT_A_TIME;
    if (ioctl(fd, FS_IOC_FIEMAP, map) != 0) fail("map", job->path);
    if (map->fm_mapped_extents == 0) break;
    for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
      struct fiemap_extent *extent = &map->fm_extents[i];
      printf("%llu %llu %llu ", extent->fe_logical, extent->fe_physical, extent->fe_length);
      is_last |= (extent->fe_flags & FIEMAP_EXTENT_LAST) != 0;
      start = extent->fe_logical + extent->fe_length;
    }
  }
  printf("\n");
  close(fd);
  free(map);
  (void)worker;
  return *end = 0, 0;
}

static int do_xattr(struct worker *worker, const struct job *job, double *end) {
  static char value[XATTR_BYTES];
  ssize_t length = getxattr(job->path, "user.pacsfs.extents", value, sizeof value);
  if (length < 0) fail("ask where it lies", job->path);
  printf("%s\t%.*s\n", job->path, (int)length, value);
  (void)worker;
  return *end = 0, 0;
}

static const struct {
  const char *name;
  int (*perform)(struct worker *, const struct job *, double *);
} ACTS[] = {
    {"write", do_write},     {"overwrite", do_write}, {"read", do_read},     {"scatter", do_scattered},
    {"strew", do_scattered}, {"open", do_open},       {"first", do_open},    {"create", do_create},
    {"stat", do_stat},       {"unlink", do_unlink},   {"brief", do_brief},   {"extents", do_extents},
    {"xattr", do_xattr},
};

static void *work(void *argument) {
  struct worker *worker = argument;
  pthread_barrier_wait(&start_line);
  worker->begin = now();
  for (long i = 0; i < job_count; i++) {
    if (jobs[i].thread != worker->number) continue;
    double begin = now(), end = 0;
    perform(worker, &jobs[i], &end);
    times_us[i] = (uint32_t)(((end == 0 ? now() : end) - begin) * 1e6 + 0.5);
    worker->files++;
  }
  worker->end = now();
  return NULL;
}

static int read_jobs(void) {
  char *line = NULL;
  size_t room = 0;
  long capacity = 0;
  int threads = 0;
  while (getline(&line, &room, stdin) > 0) {
    if (job_count == capacity) {
      capacity = capacity == 0 ? 1024 : capacity * 2;
      jobs = realloc(jobs, capacity * sizeof *jobs);
    }
    struct job *job = &jobs[job_count++];
    int at = 0;
    if (sscanf(line, "%d\t%lld\t%n", &job->thread, &job->size, &at) != 2 || at == 0) fail("understand", line);
    line[strcspn(line, "\n")] = '\0';
    job->path = strdup(line + at);
    if (job->thread >= threads) threads = job->thread + 1;
  }
  free(line);
  return threads;
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static uint32_t quantile(double share) {
  long at = (long)(share * job_count);
  return job_count == 0 ? 0 : times_us[at < job_count ? at : job_count - 1];
}

static void report(const struct worker *workers, int threads) {
  long long files = 0, bytes = 0;
  double begin = threads == 0 ? 0 : workers[0].begin, end = begin;
  struct rusage usage;
  for (int i = 0; i < threads; i++) {
    files += workers[i].files;
    bytes += workers[i].bytes;
    if (workers[i].begin < begin) begin = workers[i].begin;
    if (workers[i].end > end) end = workers[i].end;
  }
  getrusage(RUSAGE_SELF, &usage);
  double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  qsort(times_us, job_count, sizeof *times_us, by_value);
  printf("{\"files\":%lld,\"bytes\":%lld,\"seconds\":%.6f,\"cpuSeconds\":%.6f,", files, bytes, end - begin, cpu);
  printf("\"microseconds\":{\"p50\":%u,\"p99\":%u,\"p999\":%u,\"most\":%u}}\n", quantile(0.5), quantile(0.99),
         quantile(0.999), quantile(1));
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: load ACT BLOCK FLAGS < JOBS\n"), 2;
  act = argv[1];
  block = atoll(argv[2]);
  with_fsync = strchr(argv[3], 'f') != NULL;
  with_direct = strchr(argv[3], 'd') != NULL;
  for (size_t i = 0; i < sizeof ACTS / sizeof *ACTS; i++)
    if (strcmp(ACTS[i].name, act) == 0) perform = ACTS[i].perform;
  if (perform == NULL || block < 1) return fprintf(stderr, "load: unknown act %s or block %s\n", act, argv[2]), 2;
  int threads = read_jobs();
  struct worker *workers = calloc(threads + 1, sizeof *workers);
  times_us = calloc(job_count + 1, sizeof *times_us);
  if (threads > 0) pthread_barrier_init(&start_line, NULL, threads);
  long long room = block < FIRST_BYTES ? FIRST_BYTES : block;
  for (int i = 0; i < threads; i++) {
    workers[i] = (struct worker){.number = i, .seed = 88172645463325252ULL + i};
    if (posix_memalign((void **)&workers[i].buffer, ALIGNMENT, room) != 0) fail("allocate", "a buffer");
    memset(workers[i].buffer, 0x5a, room);
    if (pthread_create(&workers[i].id, NULL, work, &workers[i]) != 0) fail("start", "a thread");
  }
  for (int i = 0; i < threads; i++) pthread_join(workers[i].id, NULL);
  report(workers, threads);
  return 0;
}
