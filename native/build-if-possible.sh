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
if (cd .. && npm run --silent build:native) >"$log" 2>&1; then
  echo "native/$built built"
elif grep -q 'configure error' "$log"; then
  echo "note: no headers of Node.js to build with: tests of the compiled engine will be skipped"
else
  cat "$log"
  exit 1
fi
