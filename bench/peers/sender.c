// What a user would send packets with: AF_PACKET, 64 frames a system call, past the queueing
// discipline.
//
//   sender IFACE SECONDS FLOWS COUNT DST_MAC SRC_MAC SRC_IP DST_IP SPORT DPORT VARY
//
// UDP frames of 60 bytes with right checksums; the flows differ in the source port (VARY s) or the
// destination port (VARY d). COUNT 0 sends for SECONDS. Prints frames sent, wall and CPU
// nanoseconds: what the kernel does for a frame in the sender's context counts as its CPU time.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { FRAME = 60, BATCH = 64, PAYLOAD = FRAME - 14 - 20 - 8 };

static uint64_t now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint32_t sum(const uint8_t* b, int n, uint32_t s) {
  for (int i = 0; i + 1 < n; i += 2) s += (uint32_t)(b[i] << 8 | b[i + 1]);
  return s;
}

static uint16_t folded(uint32_t s) {
  while (s >> 16) s = (s & 0xffff) + (s >> 16);
  return (uint16_t)~s;
}

static void put16(uint8_t* b, uint16_t v) {
  b[0] = (uint8_t)(v >> 8);
  b[1] = (uint8_t)v;
}

static void build(uint8_t* f, char** a, uint16_t sport, uint16_t dport) {
  memset(f, 0, FRAME);
  sscanf(a[5], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", f, f + 1, f + 2, f + 3, f + 4, f + 5);
  sscanf(a[6], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", f + 6, f + 7, f + 8, f + 9, f + 10, f + 11);
  put16(f + 12, 0x0800);
  uint8_t* ip = f + 14;
  ip[0] = 0x45;
  put16(ip + 2, FRAME - 14);
  put16(ip + 6, 0x4000);
  ip[8] = 64;
  ip[9] = 17;
  inet_pton(AF_INET, a[7], ip + 12);
  inet_pton(AF_INET, a[8], ip + 16);
  put16(ip + 10, folded(sum(ip, 20, 0)));
  uint8_t* udp = ip + 20;
  put16(udp, sport);
  put16(udp + 2, dport);
  put16(udp + 4, 8 + PAYLOAD);
  put16(udp + 6, folded(sum(udp, 8 + PAYLOAD, sum(ip + 12, 8, 17 + 8 + PAYLOAD))));
}

int main(int argc, char** a) {
  if (argc != 12) return 2;
  const double seconds = atof(a[2]);
  const int flows = atoi(a[3]);
  const long count = atol(a[4]);
  uint8_t* frames = malloc((size_t)flows * FRAME);
  for (int i = 0; i < flows; i++) {
    const int sport = atoi(a[9]) + (a[11][0] == 's' ? i : 0);
    const int dport = atoi(a[10]) + (a[11][0] == 'd' ? i : 0);
    build(frames + (size_t)i * FRAME, a, (uint16_t)sport, (uint16_t)dport);
  }
  const int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  const int on = 1;
  setsockopt(s, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(a[1])};
  if (s < 0 || bind(s, (struct sockaddr*)&to, sizeof to) < 0) {
    perror("AF_PACKET");
    return 1;
  }
  struct iovec iov[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  long sent = 0;
  int next = 0;
  const uint64_t start = now(CLOCK_MONOTONIC);
  const uint64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  const uint64_t end = start + (uint64_t)(seconds * 1e9);
  while (count > 0 ? sent < count : now(CLOCK_MONOTONIC) < end) {
    const int want = count > 0 && count - sent < BATCH ? (int)(count - sent) : BATCH;
    for (int i = 0; i < want; i++) {
      iov[i] = (struct iovec){frames + (size_t)next * FRAME, FRAME};
      messages[i].msg_hdr.msg_iov = &iov[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      next = next + 1 == flows ? 0 : next + 1;
    }
    const int done = sendmmsg(s, messages, (unsigned)want, 0);
    if (done > 0) sent += done;
  }
  printf("%ld %llu %llu\n", sent, (unsigned long long)(now(CLOCK_MONOTONIC) - start),
         (unsigned long long)(now(CLOCK_PROCESS_CPUTIME_ID) - cpu));
  return 0;
}
