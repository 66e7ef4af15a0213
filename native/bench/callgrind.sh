# Instructions by callgrind, for the scripts beside this one: they source it in their folder.
if ! command -v valgrind >/dev/null; then
  echo "NOT MEASURED: valgrind is not installed"
  exit 0
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

build() { # build TARGET SOURCE...: $out/TARGET
  target=$1
  shift
  ${CXX:-g++} -std=c++20 -O3 -g -Wall -Wextra -fno-strict-aliasing -DWIRETRIAL_CALLGRIND \
    -o "$out/$target" "$@"
}

count() { # count WHAT PACKETS COMMAND...: instructions a packet
  what=$1 packets=$2
  shift 2
  valgrind --tool=callgrind --collect-atstart=no --callgrind-out-file="$out/counted" \
    "$@" >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
  total=$(sed -n 's/.*Collected : //p' "$out/log")
  echo "$what: $((total / packets)) instructions a packet"
}
