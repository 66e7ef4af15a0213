// AF_PACKET sender: what a user's program does. `send DEVICE TRACE LENGTH SECONDS CPU`: frames of
// LENGTH bytes in places of 64 from TRACE, 64 a sendmmsg, again and again for SECONDS; 0: once.
// Prints `{"sent", "cpuNs", "wallNs"}`: cpuNs is this process and its core's ksoftirqd.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cpu-time.h"

enum { kBatch = 64, kPlace = 64 };

int main(int argc, char** argv) {
  if (argc != 6) die("send DEVICE TRACE LENGTH SECONDS CPU");
  size_t size = 0;
  uint8_t* trace = map_file(argv[2], &size);
  const size_t frames = size / kPlace;
  const size_t length = strtoul(argv[3], NULL, 10);
  const double seconds = atof(argv[4]);
  const int cpu = atoi(argv[5]);
  pin(cpu);
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) die("socket");
  const struct sockaddr_ll to = {.sll_family = AF_PACKET,
                                 .sll_protocol = htons(ETH_P_ALL),
                                 .sll_ifindex = (int)if_nametoindex(argv[1])};
  if (bind(fd, (const struct sockaddr*)&to, sizeof to) != 0) die("bind");
  const int on = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) die("qdisc bypass");
  struct mmsghdr messages[kBatch];
  struct iovec parts[kBatch];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < kBatch; i++) {
    parts[i].iov_len = length;
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const uint64_t wall = wall_ns(), used = process_ns(), helper = ksoftirqd_ns(cpu);
  uint64_t sent = 0;
  for (size_t at = 0; seconds > 0 ? wall_ns() - wall < seconds * 1e9 : at < frames;) {
    const size_t left = frames - at;
    const unsigned want = left < kBatch ? (unsigned)left : kBatch;
    for (unsigned i = 0; i < want; i++) parts[i].iov_base = trace + (at + i) * kPlace;
    const int n = sendmmsg(fd, messages, want, 0);
    if (n < 0) {
      if (errno == ENOBUFS || errno == EAGAIN || errno == EINTR) continue;
      die("sendmmsg");
    }
    sent += (uint64_t)n;
    at += (size_t)n;
    if (seconds > 0 && at == frames) at = 0;
  }
  settle();
  report(sent, process_ns() - used + ksoftirqd_ns(cpu) - helper, wall_ns() - wall);
  return 0;
}
