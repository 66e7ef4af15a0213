#!/bin/sh
# Instructions a packet, by callgrind: native/bench/instructions.sh [KIND CONNECTIONS]. What is
# counted is the way of processors with AVX2.
set -eu
cd "$(dirname "$0")"
. ./callgrind.sh
build instructions instructions.cc ../src/engine/run.cc ../src/engine/run-avx2.cc
of() { # of KIND CONNECTIONS
  count "$1, $2 connections" 100000 "$out/instructions" "$1" "$2" 100000
}
if [ $# -eq 2 ]; then
  of "$1" "$2"
else
  for kind in udp tcp nat-udp nat-tcp pass; do of "$kind" 1000; done
  for kind in new again new-tcp; do of "$kind" 100000; done
fi
