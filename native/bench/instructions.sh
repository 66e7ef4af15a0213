#!/bin/sh
# Instructions a packet, by callgrind: native/bench/instructions.sh [KIND CONNECTIONS]. What is
# counted is the way of processors with AVX2.
set -eu
cd "$(dirname "$0")"
if ! command -v valgrind >/dev/null; then
  echo "NOT MEASURED: valgrind is not installed"
  exit 0
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
packets=100000
${CXX:-g++} -std=c++20 -O3 -g -Wall -Wextra -DWIRETRIAL_CALLGRIND \
  -o "$out/instructions" instructions.cc ../src/engine/run.cc ../src/engine/run-avx2.cc
count() {
  valgrind --tool=callgrind --collect-atstart=no --callgrind-out-file="$out/$1-$2.out" \
    "$out/instructions" "$1" "$2" $packets >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
  total=$(sed -n 's/.*Collected : //p' "$out/log")
  echo "$1, $2 connections: $((total / packets)) instructions a packet"
}
if [ $# -eq 2 ]; then
  count "$1" "$2"
else
  count udp 1000
  count tcp 1000
  count nat-udp 1000
  count nat-tcp 1000
  count new 100000
  count again 100000
  count new-tcp 100000
  count pass 1000
fi
