// The best in-kernel injector without pktgen: BPF_PROG_TEST_RUN with live frames. A small XDP program
// writes each frame of the trace anew (frames are used again after the stack has changed them) and
// passes it, so that it is received on DEVICE as if it had come by its cable.
// `inject DEVICE TRACE LENGTH SECONDS CPU`: all frames of TRACE may differ in bytes 34–35 and 40–41
// (UDP source port and checksum) only. Prints what send.c prints.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "cpu-time.h"

enum { kPlace = 64, kEntries = 1 << 20, kFixed = 34, kBatch = 64, kFirst = 256 };

static int bpf(int command, union bpf_attr* attr) {
  return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

static struct bpf_insn code[64];
static int length_of_code;

static void op(uint8_t opcode, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
  code[length_of_code++] =
      (struct bpf_insn){.code = opcode, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

// One array element: a counter in its first eight bytes, then four bytes a frame.
static int make_map(const uint8_t* trace, size_t frames) {
  union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
                         .key_size = 4,
                         .value_size = 8 + 4 * kEntries,
                         .max_entries = 1};
  const int map = bpf(BPF_MAP_CREATE, &attr);
  if (map < 0) die("map");
  uint8_t* value = calloc(1, 8 + 4 * kEntries);
  for (size_t i = 0; i < kEntries; i++) {
    const uint8_t* frame = trace + (i % frames) * kPlace;
    memcpy(value + 8 + 4 * i, frame + 34, 2);
    memcpy(value + 10 + 4 * i, frame + 40, 2);
  }
  const uint32_t key = 0;
  union bpf_attr update = {.map_fd = (uint32_t)map,
                           .key = (uint64_t)(uintptr_t)&key,
                           .value = (uint64_t)(uintptr_t)value};
  if (bpf(BPF_MAP_UPDATE_ELEM, &update) != 0) die("map update");
  free(value);
  return map;
}

static int make_program(const uint8_t* frame, int map) {
  op(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct xdp_md, data), 0);
  op(BPF_LDX | BPF_MEM | BPF_W, 3, 1, offsetof(struct xdp_md, data_end), 0);
  op(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0);
  op(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, 42);
  const int check = length_of_code;
  op(BPF_JMP | BPF_JGT | BPF_X, 4, 3, 0, 0);
  op(BPF_LD | BPF_IMM | BPF_DW, 5, BPF_PSEUDO_MAP_VALUE, 0, map);
  op(0, 0, 0, 0, 0);
  op(BPF_LDX | BPF_MEM | BPF_DW, 6, 5, 0, 0);
  op(BPF_ALU64 | BPF_MOV | BPF_X, 7, 6, 0, 0);
  op(BPF_ALU64 | BPF_ADD | BPF_K, 7, 0, 0, 1);
  op(BPF_STX | BPF_MEM | BPF_DW, 5, 7, 0, 0);
  op(BPF_ALU64 | BPF_AND | BPF_K, 6, 0, 0, kEntries - 1);
  op(BPF_ALU64 | BPF_LSH | BPF_K, 6, 0, 0, 2);
  op(BPF_ALU64 | BPF_ADD | BPF_X, 5, 6, 0, 0);
  op(BPF_LDX | BPF_MEM | BPF_H, 8, 5, 8, 0);
  op(BPF_LDX | BPF_MEM | BPF_H, 9, 5, 10, 0);
  for (int16_t at = 0; at < kFixed; at += 2) {
    uint16_t word;
    memcpy(&word, frame + at, 2);
    op(BPF_ST | BPF_MEM | BPF_H, 2, 0, at, word);
  }
  op(BPF_STX | BPF_MEM | BPF_H, 2, 8, 34, 0);
  op(BPF_STX | BPF_MEM | BPF_H, 2, 9, 40, 0);
  code[check].off = (int16_t)(length_of_code - check - 1);
  op(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS);
  op(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  static char log[65536];
  union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_XDP,
                         .insn_cnt = (uint32_t)length_of_code,
                         .insns = (uint64_t)(uintptr_t)code,
                         .license = (uint64_t)(uintptr_t) "GPL",
                         .log_buf = (uint64_t)(uintptr_t)log,
                         .log_size = sizeof log,
                         .log_level = 1};
  const int program = bpf(BPF_PROG_LOAD, &attr);
  if (program < 0) {
    fputs(log, stderr);
    die("program");
  }
  return program;
}

static void run(int program, int device, const uint8_t* frame, uint32_t length, uint32_t repeat) {
  uint8_t data[kPlace];
  memcpy(data, frame, length);
  struct xdp_md context = {.data_end = length, .ingress_ifindex = (uint32_t)device};
  union bpf_attr attr = {.test = {.prog_fd = (uint32_t)program,
                                  .repeat = repeat,
                                  .data_size_in = length,
                                  .data_in = (uint64_t)(uintptr_t)data,
                                  .ctx_size_in = sizeof context,
                                  .ctx_in = (uint64_t)(uintptr_t)&context,
                                  .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                                  .batch_size = kBatch}};
  if (bpf(BPF_PROG_TEST_RUN, &attr) != 0) die("test run");
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fputs("inject DEVICE TRACE LENGTH SECONDS CPU\n", stderr);
    return 2;
  }
  const int device = (int)if_nametoindex(argv[1]);
  size_t size = 0;
  const uint8_t* trace = map_file(argv[2], &size);
  const size_t frames = size / kPlace;
  const uint32_t length = (uint32_t)strtoul(argv[3], NULL, 10);
  const double seconds = atof(argv[4]);
  const int cpu = atoi(argv[5]);
  for (size_t i = 1; i < frames; i++) {
    const uint8_t* frame = trace + i * kPlace;
    if (memcmp(frame, trace, 34) || memcmp(frame + 36, trace + 36, 4) ||
        memcmp(frame + 42, trace + 42, length - 42)) {
      fputs("frames differ in more than source port and checksum\n", stderr);
      return 1;
    }
  }
  pin(cpu);
  const int program = make_program(trace, make_map(trace, frames));
  // Only a device with an XDP program of its own has queues that live frames may name.
  union bpf_attr link = {.link_create = {.prog_fd = (uint32_t)program,
                                         .target_ifindex = (uint32_t)device,
                                         .attach_type = BPF_XDP}};
  if (bpf(BPF_LINK_CREATE, &link) < 0) die("attach");
  uint64_t before = wall_ns();
  run(program, device, trace, length, kFirst);
  const double each = (double)(wall_ns() - before) / kFirst;
  uint32_t repeat = (uint32_t)(seconds * 1e9 / each);
  repeat = repeat < kFirst ? kFirst : repeat > (1u << 22) ? 1u << 22 : repeat;
  settle();
  const uint64_t wall = wall_ns(), used = process_ns(), helper = ksoftirqd_ns(cpu);
  run(program, device, trace, length, repeat);
  const uint64_t cost = process_ns() - used;
  settle();
  report(repeat + kFirst, cost + ksoftirqd_ns(cpu) - helper, wall_ns() - wall);
  return 0;
}
