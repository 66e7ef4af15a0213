#!/bin/sh
# The addon itself under the address and undefined-behaviour sanitizers, through Node: build it into
# native/build/sanitized and run tests with it: native/fuzz/sanitized.sh TEST.js… . Any report ends
# the run. Needs g++ with its sanitizers, which are loaded before Node is.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd)
out=$here/build/sanitized
rm -rf "$out"
mkdir -p "$out"
cp -r binding.gyp src "$out"
flags="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1"
CXX=g++ CXXFLAGS="$flags" LDFLAGS="$flags" npx node-gyp rebuild -C "$out" >"$out/log" 2>&1 || {
  tail -40 "$out/log"
  exit 1
}
cd ..
for test in "$@"; do
  echo "sanitized: $test"
  LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \
    TAP_TIMEOUT=1800 ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
    WIRETRIAL_NATIVE="$out/build/Release/wiretrial.node" node "$test" >"$out/test.log" 2>&1 || {
    tail -60 "$out/test.log"
    exit 1
  }
done
