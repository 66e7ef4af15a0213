#!/bin/sh
# Build the fuzz targets with sanitizers and run each for a while: native/fuzz/run.sh [SECONDS]. Seeds
# are the project's captures and an image of its examples (bench/fuzz-seeds.ts, which must be built).
# libFuzzer where there is clang, else drivers that harm the seeds.
set -eu
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
seconds=${1:-6}
flags="-std=c++20 -O1 -g -Wall -Wextra -Werror -DWIRETRIAL_GUARDED_MEMORY
  -fsanitize=address,undefined -fno-sanitize-recover=all"
[ -f ../../dist/bench/fuzz-seeds.js ] || { echo "npm run build first: the seeds are made by it"; exit 1; }
(cd ../.. && node dist/bench/fuzz-seeds.js "$out")
export WIRETRIAL_IMAGE="$out/shop.image"

with=clang
build() { # build TARGET FLAG…
  target=$1
  shift
  # shellcheck disable=SC2086
  "$@" $flags -o "$out/$target-target" "$target.cc"
}
clang="clang++ -fsanitize=fuzzer -DWIRETRIAL_LIBFUZZER"
# shellcheck disable=SC2086
if ! build packets $clang 2>"$out/log"; then
  with=driver
  echo "no clang with libFuzzer: the targets' own drivers draw the inputs"
  clang=${CXX:-g++}
  build packets "$clang"
fi
# A block of packets against the same packets one by one.
# shellcheck disable=SC2086
${CXX:-g++} $flags -fno-strict-aliasing -o "$out/blocks" blocks.cc ../src/engine/run.cc \
  ../src/engine/run-avx2.cc &
blocks=$!
# Decisions by the vector against one by one.
# shellcheck disable=SC2086
${CXX:-g++} $flags -fno-strict-aliasing -o "$out/decisions" decisions.cc &
decisions=$!
# shellcheck disable=SC2086
build captures $clang &
captures=$!
# shellcheck disable=SC2086
build images $clang
wait "$captures"
wait "$blocks"
wait "$decisions"
"$out/blocks" 3000
"$out/decisions" 3000

run() { # run TARGET LONGEST RUNS-OF-DRIVER
  echo "== $1"
  if [ "$with" = driver ]; then
    "$out/$1-target" "$3" "$out/$1"/*
  else
    mkdir -p "$out/$1-corpus"
    "$out/$1-target" -max_total_time="$seconds" -max_len="$2" -len_control=0 -timeout=10 -print_final_stats=1 \
      "$out/$1-corpus" "$out/$1" 2>"$out/log" || { tail -80 "$out/log"; exit 1; }
    grep -E 'DONE|number_of_executed_units' "$out/log"
  fi
}
run packets 4096 2000
run captures 16384 2000
run images 64 500
