#!/bin/sh
# Build the addon where there is a compiler and it is missing or older than its sources. Says what it
# did; never fails for want of a compiler, because nothing needs the addon.
set -eu
cd "$(dirname "$0")"
built=build/Release/wiretrial.node
if [ -e "$built" ] && [ -z "$(find src binding.gyp -newer "$built" -print -quit)" ]; then
  exit 0
fi
if ! command -v "${CXX:-c++}" >/dev/null || ! command -v make >/dev/null; then
  echo "note: no C++ compiler: tests of the compiled engine will be skipped"
  exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
../node_modules/.bin/node-gyp rebuild -C . >"$log" 2>&1 || { cat "$log"; exit 1; }
echo "native/$built built"
