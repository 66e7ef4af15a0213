#!/bin/sh
# Build the fuzz target with sanitizers and run it: native/fuzz/run.sh [INPUTS]. libFuzzer where
# there is clang, else the driver in the target itself.
set -eu
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-std=c++20 -O1 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
inputs=${1:-20000}
# A block of packets against the same packets one by one.
# shellcheck disable=SC2086
${CXX:-g++} $flags -fno-strict-aliasing -o "$out/blocks" blocks.cc ../src/engine/run.cc \
  ../src/engine/run-avx2.cc
"$out/blocks" 3000
# shellcheck disable=SC2086
if clang++ $flags -fsanitize=fuzzer -DWIRETRIAL_LIBFUZZER -o "$out/packets" packets.cc \
  2>/dev/null; then
  mkdir -p "$out/corpus"
  "$out/packets" -runs="$inputs" -max_len=4096 "$out/corpus"
else
  echo "no clang with libFuzzer: the target's own driver draws the inputs"
  ${CXX:-g++} $flags -o "$out/packets" packets.cc
  "$out/packets" "$inputs"
fi
