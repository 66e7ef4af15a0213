// Read a capture with libpcap and do nothing else: read FILE ROUNDS prints, a round a line, the
// packets, their captured bytes, and the nanoseconds of processor time they took.
#define _GNU_SOURCE
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cpu-time.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  for (int round = atoi(argv[2]); round > 0; round--) {
    char error[PCAP_ERRBUF_SIZE];
    const uint64_t start = process_ns();
    pcap_t* capture = pcap_open_offline(argv[1], error);
    if (capture == NULL) {
      fprintf(stderr, "%s\n", error);
      return 1;
    }
    struct pcap_pkthdr* header;
    const u_char* data;
    uint64_t packets = 0, bytes = 0;
    int got;
    while ((got = pcap_next_ex(capture, &header, &data)) == 1) {
      packets += 1;
      bytes += header->caplen;
    }
    pcap_close(capture);
    if (got != PCAP_ERROR_BREAK) return 1;
    printf("%llu %llu %llu\n", (unsigned long long)packets, (unsigned long long)bytes,
           (unsigned long long)(process_ns() - start));
  }
  return 0;
}
