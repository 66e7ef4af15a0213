// Shared by the programs of this folder: what a run has cost, and the file that it sends from.
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void die(const char* what) {
  perror(what);
  exit(1);
}

static inline uint64_t clock_ns(clockid_t which) {
  struct timespec t;
  clock_gettime(which, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static inline uint64_t process_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

static inline void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) die("sched_setaffinity");
}

// Time on CPU of the kernel thread that works off a core's packets when the sender does not.
static inline uint64_t ksoftirqd_ns(int cpu) {
  static int found[256];
  char path[300], text[64], want[32];
  if (found[cpu] == 0) {
    snprintf(want, sizeof want, "ksoftirqd/%d\n", cpu);
    DIR* all = opendir("/proc");
    for (struct dirent* one; all != NULL && found[cpu] == 0 && (one = readdir(all)) != NULL;) {
      if (one->d_name[0] < '1' || one->d_name[0] > '9') continue;
      snprintf(path, sizeof path, "/proc/%s/comm", one->d_name);
      FILE* comm = fopen(path, "r");
      if (comm == NULL) continue;
      if (fgets(text, sizeof text, comm) != NULL && strcmp(text, want) == 0) {
        found[cpu] = atoi(one->d_name);
      }
      fclose(comm);
    }
    if (all != NULL) closedir(all);
  }
  snprintf(path, sizeof path, "/proc/%d/schedstat", found[cpu]);
  FILE* stat = fopen(path, "r");
  unsigned long long ns = 0;
  if (stat == NULL || fscanf(stat, "%llu", &ns) != 1) die(path);
  fclose(stat);
  return ns;
}

// What still waits in the core's backlog is worked off before anything is counted.
static inline void settle(void) { usleep(50000); }

static inline uint8_t* map_file(const char* path, size_t* size) {
  const int fd = open(path, O_RDONLY);
  struct stat about;
  if (fd < 0 || fstat(fd, &about) != 0) die(path);
  *size = (size_t)about.st_size;
  void* at = mmap(NULL, *size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (at == MAP_FAILED) die("mmap");
  return (uint8_t*)at;
}

static inline void report(uint64_t sent, uint64_t cpu, uint64_t wall) {
  printf("{\"sent\":%llu,\"cpuNs\":%llu,\"wallNs\":%llu}\n", (unsigned long long)sent,
         (unsigned long long)cpu, (unsigned long long)wall);
}
