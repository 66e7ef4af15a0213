// An eBPF program of the Cilium kind: a pod's packet on the way out. `base` picks a flow and writes its
// ends into the packet (what the bench needs, taken off both figures); `established` finds the
// connection, counts it and rewrites the source with incremental checksums; `full` asks, besides, two
// LPM tries for the identities of both ends and the policy map (exact, any port, any identity).
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FLOWS_MAX 262144

struct flow {
  __u32 src, dst;
  __u16 sport, dport;
  __u32 proto;
};
struct state {
  __u64 packets, bytes;
  __u32 nat_src;
  __u16 nat_sport;
  __u16 flags;
};
struct prefix {
  __u32 length, address;
};
struct policy_key {
  __u32 identity;
  __u16 dport;
  __u8 proto, way;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, FLOWS_MAX);
  __type(key, __u32);
  __type(value, struct flow);
} flows SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64[2]);  // state of the draw, flows - 1
} draw SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, FLOWS_MAX);
  __type(key, struct flow);
  __type(value, struct state);
} connections SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct prefix);
  __type(value, __u32);
} identities SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32768);
  __type(key, struct policy_key);
  __type(value, __u32);
} policies SEC(".maps");

struct headers {
  __u8 ethernet[14];
  __u8 version_length, tos;
  __u16 length, id, fragment;
  __u8 ttl, proto;
  __u16 check;
  __u32 src, dst;
  __u16 sport, dport, udp_length, udp_check;
} __attribute__((packed));

static __always_inline struct headers* pick(struct xdp_md* ctx) {
  struct headers* h = (void*)(long)ctx->data;
  if ((void*)(h + 1) > (void*)(long)ctx->data_end) return 0;
  if (h->version_length != 0x45 || h->proto != 17) return 0;
  __u32 zero = 0;
  __u64* d = bpf_map_lookup_elem(&draw, &zero);
  if (!d) return 0;
  __u64 x = d[0];
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  d[0] = x;
  __u32 at = (x >> 20) % d[1];
  struct flow* f = bpf_map_lookup_elem(&flows, &at);
  if (!f) return 0;
  h->src = f->src;
  h->dst = f->dst;
  h->sport = f->sport;
  h->dport = f->dport;
  return h;
}

static __always_inline __u16 patched(__u16 check, __u32 from, __u32 to) {
  __u32 sum = (__u16)~check + (__u16)~from + (__u16)~(from >> 16) + (__u16)to + (to >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)~((sum & 0xffff) + (sum >> 16));
}

static __always_inline int translate(struct headers* h, struct xdp_md* ctx) {
  struct flow key = {h->src, h->dst, h->sport, h->dport, h->proto};
  struct state* s = bpf_map_lookup_elem(&connections, &key);
  if (!s) return XDP_ABORTED;
  s->packets++;
  s->bytes += ctx->data_end - ctx->data;
  h->check = patched(h->check, h->src, s->nat_src);
  h->udp_check = patched(patched(h->udp_check, h->src, s->nat_src), h->sport, s->nat_sport);
  h->src = s->nat_src;
  h->sport = s->nat_sport;
  return XDP_TX;
}

static __always_inline int allowed(__u32 identity, __u16 dport, __u8 proto) {
  struct policy_key key = {identity, dport, proto, 1};
  if (bpf_map_lookup_elem(&policies, &key)) return 1;
  key.dport = 0;
  key.proto = 0;
  if (bpf_map_lookup_elem(&policies, &key)) return 1;
  key = (struct policy_key){0, dport, proto, 1};
  return bpf_map_lookup_elem(&policies, &key) != 0;
}

SEC("xdp") int base(struct xdp_md* ctx) { return pick(ctx) ? XDP_TX : XDP_ABORTED; }

SEC("xdp") int established(struct xdp_md* ctx) {
  struct headers* h = pick(ctx);
  return h ? translate(h, ctx) : XDP_ABORTED;
}

SEC("xdp") int full(struct xdp_md* ctx) {
  struct headers* h = pick(ctx);
  if (!h) return XDP_ABORTED;
  struct prefix src = {32, h->src}, dst = {32, h->dst};
  __u32* from = bpf_map_lookup_elem(&identities, &src);
  __u32* to = bpf_map_lookup_elem(&identities, &dst);
  if (!from || !to || !allowed(*from ^ *to, h->dport, h->proto)) return XDP_DROP;
  return translate(h, ctx);
}

char licence[] SEC("license") = "GPL";
