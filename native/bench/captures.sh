#!/bin/sh
# Instructions a packet that native code takes of a capture, by callgrind: native/bench/captures.sh.
# The capture is bench/end-to-end.ts's (which must be built): 200,000 packets of 64 bytes, 1,000
# connections. Copying the window is counted with each.
set -eu
cd "$(dirname "$0")"
. ./callgrind.sh
node --input-type=module -e "
  const { writeTalk } = await import('./../../dist/bench/end-to-end.js');
  writeTalk('$out/talk.pcap', 200000, { flows: 1000, port: 8080 });"
build captures captures.cc
for what in walk look lanes indexed; do
  count "$what" 200000 "$out/captures" "$out/talk.pcap" "$what"
done
