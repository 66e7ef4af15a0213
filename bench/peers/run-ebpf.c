// Load cilium-kind.bpf.o, fill its maps, and run its programs as `bpftool prog run` does
// (BPF_PROG_TEST_RUN with a repeat): `run-ebpf OBJECT FLOWS REPEAT CPU` prints nanoseconds a run of
// each program. 21,000 prefixes (20,000 addresses, 1,000 networks) and 20,300 policy entries.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "cpu-time.h"

enum { kPods = 20000, kNetworks = 1000, kPolicies = 20300, kIdentities = 1000 };

struct flow {
  uint32_t src, dst;
  uint16_t sport, dport;
  uint32_t proto;
};
struct state {
  uint64_t packets, bytes;
  uint32_t nat_src;
  uint16_t nat_sport, flags;
};
struct prefix {
  uint32_t length, address;
};
struct policy_key {
  uint32_t identity;
  uint16_t dport;
  uint8_t proto, way;
};

static int map_of(struct bpf_object* object, const char* name) {
  const int fd = bpf_object__find_map_fd_by_name(object, name);
  if (fd < 0) die(name);
  return fd;
}

static void put(int map, const void* key, const void* value) {
  if (bpf_map_update_elem(map, key, value, BPF_ANY) != 0) die("map update");
}

static uint32_t pod(uint32_t i) { return htonl(0x0af00000u + i % kPods); }
static uint32_t identity(uint32_t i) { return 1 + i % kIdentities; }

static void fill(struct bpf_object* object, uint32_t count) {
  const int identities = map_of(object, "identities"), policies = map_of(object, "policies");
  for (uint32_t i = 0; i < kPods + kNetworks; i++) {
    const struct prefix key = i < kPods
                                  ? (struct prefix){32, pod(i)}
                                  : (struct prefix){24, htonl(0x0b000000u + ((i - kPods) << 8))};
    const uint32_t value = identity(i);
    put(identities, &key, &value);
  }
  const uint32_t yes = 1;
  for (uint32_t i = 0; i < kPolicies - 1; i++) {
    const struct policy_key key = {1000000 + i, htons((uint16_t)(1024 + i % 3000)), 17, 1};
    put(policies, &key, &yes);
  }
  // The traffic is let through by its port alone: the third question.
  const struct policy_key open = {0, htons(8080), 17, 1};
  put(policies, &open, &yes);
  const int flows = map_of(object, "flows"), connections = map_of(object, "connections");
  for (uint32_t i = 0; i < count; i++) {
    const struct flow f = {pod(i * 7), pod(i * 13 + 1), htons((uint16_t)(1024 + i % 60000)),
                           htons(8080), 17};
    const struct state s = {.nat_src = htonl(0xc6336401u), .nat_sport = f.sport};
    put(flows, &i, &f);
    put(connections, &f, &s);
  }
  const uint32_t zero = 0;
  const uint64_t draw[2] = {0x9e3779b97f4a7c15u, count};
  put(map_of(object, "draw"), &zero, draw);
}

static double run(struct bpf_object* object, const char* name, uint32_t repeat) {
  struct bpf_program* program = bpf_object__find_program_by_name(object, name);
  if (program == NULL) die(name);
  uint8_t frame[64] = {0}, out[128];
  frame[12] = 8;
  frame[14] = 0x45;
  frame[17] = 40;
  frame[22] = 64;
  frame[23] = 17;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = 60, .data_out = out,
              .data_size_out = sizeof out, .repeat = (int)repeat);
  const uint64_t used = process_ns();
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) != 0) die("test run");
  const double ns = (double)(process_ns() - used) / repeat;
  if (options.retval != 3) {
    fprintf(stderr, "%s returned %u, not XDP_TX\n", name, options.retval);
    exit(1);
  }
  return ns;
}

int main(int argc, char** argv) {
  if (argc != 5) {
    fputs("run-ebpf OBJECT FLOWS REPEAT CPU\n", stderr);
    return 2;
  }
  pin(atoi(argv[4]));
  struct bpf_object* object = bpf_object__open_file(argv[1], NULL);
  if (object == NULL || bpf_object__load(object) != 0) die("load");
  fill(object, (uint32_t)strtoul(argv[2], NULL, 10));
  const uint32_t repeat = (uint32_t)strtoul(argv[3], NULL, 10);
  static const char* const names[] = {"base", "established", "full"};
  double ns[3];
  for (int i = 0; i < 3; i++) {
    run(object, names[i], repeat / 4);
    ns[i] = run(object, names[i], repeat);
  }
  printf("{\"base\":%.2f,\"established\":%.2f,\"full\":%.2f}\n", ns[0], ns[1], ns[2]);
  return 0;
}
