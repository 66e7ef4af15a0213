// DPDK's rte_acl, best vector method that the machine has: `acl RULES TRACE ROUNDS CPU VERDICTS`.
// RULES: source address and prefix length, destination address and prefix length, destination port
// (UDP), five 32-bit words each in host order. TRACE: source, destination (network order), two ports
// (network order), 12 bytes each. VERDICTS gets a byte a lookup: 1 when a rule matched.
// Prints the method, nanoseconds a lookup, matches and the time of the build.
#define _GNU_SOURCE
#include <rte_acl.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "cpu-time.h"

enum { kFields = 5, kBatch = 256 };

struct key {
  uint8_t proto;
  uint8_t pad[3];
  uint32_t src, dst;
  uint16_t sport, dport;
} __attribute__((packed));

RTE_ACL_RULE_DEF(acl_rule, kFields);

static const struct rte_acl_field_def fields[kFields] = {
    {RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, offsetof(struct key, proto)},
    {RTE_ACL_FIELD_TYPE_MASK, 4, 1, 1, offsetof(struct key, src)},
    {RTE_ACL_FIELD_TYPE_MASK, 4, 2, 2, offsetof(struct key, dst)},
    {RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 3, offsetof(struct key, sport)},
    {RTE_ACL_FIELD_TYPE_RANGE, 2, 4, 3, offsetof(struct key, dport)},
};

int main(int argc, char** argv) {
  if (argc != 6) {
    fputs("acl RULES TRACE ROUNDS CPU VERDICTS\n", stderr);
    return 2;
  }
  pin(atoi(argv[4]));
  char* eal[] = {argv[0],    "--no-huge",   "--no-pci", "--no-shconf", "-m",
                 "1024",     "--log-level", "error",    "-l",          argv[4],
                 "--force-max-simd-bitwidth=512", "--no-telemetry"};
  if (rte_eal_init(sizeof eal / sizeof *eal, eal) < 0) die("rte_eal_init");
  size_t size = 0;
  const uint32_t* rules = (const uint32_t*)(const void*)map_file(argv[1], &size);
  const uint32_t count = (uint32_t)(size / 20);
  struct rte_acl_param param = {.name = "peers",
                                .socket_id = SOCKET_ID_ANY,
                                .rule_size = RTE_ACL_RULE_SZ(kFields),
                                .max_rule_num = count};
  struct rte_acl_ctx* acl = rte_acl_create(&param);
  if (acl == NULL) die("rte_acl_create");
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t* r = rules + i * 5;
    struct acl_rule rule = {.data = {.userdata = i + 1, .category_mask = 1, .priority = 1}};
    rule.field[0] = (struct rte_acl_field){.value.u8 = 17, .mask_range.u8 = 0xff};
    rule.field[1] = (struct rte_acl_field){.value.u32 = r[0], .mask_range.u32 = r[1]};
    rule.field[2] = (struct rte_acl_field){.value.u32 = r[2], .mask_range.u32 = r[3]};
    rule.field[3] = (struct rte_acl_field){.value.u16 = 0, .mask_range.u16 = 0xffff};
    rule.field[4] = (struct rte_acl_field){.value.u16 = (uint16_t)r[4],
                                           .mask_range.u16 = (uint16_t)r[4]};
    if (rte_acl_add_rules(acl, (struct rte_acl_rule*)&rule, 1) != 0) die("rte_acl_add_rules");
  }
  struct rte_acl_config config = {.num_categories = 1, .num_fields = kFields};
  memcpy(config.defs, fields, sizeof fields);
  const uint64_t building = process_ns();
  if (rte_acl_build(acl, &config) != 0) die("rte_acl_build");
  const uint64_t built = process_ns() - building;
  const char* method = "avx512x32";
  if (rte_acl_set_ctx_classify(acl, RTE_ACL_CLASSIFY_AVX512X32) != 0) {
    method = "avx2";
    if (rte_acl_set_ctx_classify(acl, RTE_ACL_CLASSIFY_AVX2) != 0) method = "default";
  }
  const uint8_t* trace = map_file(argv[2], &size);
  const size_t lookups = size / 12;
  struct key* keys = calloc(lookups, sizeof *keys);
  uint32_t* results = calloc(lookups + kBatch, sizeof *results);
  const uint8_t** data = calloc(lookups, sizeof *data);
  for (size_t i = 0; i < lookups; i++) {
    keys[i].proto = 17;
    memcpy(&keys[i].src, trace + i * 12, 12);
    data[i] = (const uint8_t*)&keys[i];
  }
  const int rounds = atoi(argv[3]);
  uint64_t best = UINT64_MAX;
  for (int round = 0; round < rounds; round++) {
    const uint64_t used = process_ns();
    for (size_t at = 0; at < lookups; at += kBatch) {
      const uint32_t n = lookups - at < kBatch ? (uint32_t)(lookups - at) : kBatch;
      rte_acl_classify(acl, data + at, results + at, n, 1);
    }
    const uint64_t ns = process_ns() - used;
    if (round > 0 && ns < best) best = ns;
  }
  FILE* verdicts = fopen(argv[5], "w");
  if (verdicts == NULL) die(argv[5]);
  size_t matches = 0;
  for (size_t i = 0; i < lookups; i++) {
    matches += results[i] != 0;
    fputc(results[i] != 0, verdicts);
  }
  fclose(verdicts);
  printf("{\"method\":\"%s\",\"ns\":%.3f,\"matches\":%zu,\"buildNs\":%llu}\n", method,
         (double)best / (double)lookups, matches, (unsigned long long)built);
  return 0;
}
