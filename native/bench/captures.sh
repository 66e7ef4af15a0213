#!/bin/sh
# Instructions a packet that native code takes of a capture, by callgrind: native/bench/captures.sh.
# The capture is bench/end-to-end.ts's (which must be built): 200,000 packets of 64 bytes, 1,000
# connections. Copying the window is counted with each.
set -eu
cd "$(dirname "$0")"
if ! command -v valgrind >/dev/null; then
  echo "NOT MEASURED: valgrind is not installed"
  exit 0
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
packets=200000
node --input-type=module -e "
  const { writeTalk } = await import('./../../dist/bench/end-to-end.js');
  writeTalk('$out/talk.pcap', $packets, 1000);"
${CXX:-g++} -std=c++20 -O3 -g -Wall -Wextra -fno-strict-aliasing -DWIRETRIAL_CALLGRIND \
  -o "$out/captures" captures.cc
for what in walk look lanes; do
  valgrind --tool=callgrind --collect-atstart=no --callgrind-out-file="$out/$what.out" \
    "$out/captures" "$out/talk.pcap" "$what" >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
  total=$(sed -n 's/.*Collected : //p' "$out/log")
  echo "$what: $((total / packets)) instructions a packet"
done
