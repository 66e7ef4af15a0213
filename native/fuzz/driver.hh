// For compilers without libFuzzer: seeds with a few bytes changed, cut or repeated, as many as asked
// for: TARGET RUNS SEED-FILE… . With libFuzzer nothing of it is compiled but `reached`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

namespace wiretrial::fuzz {

// How much an input came to: a driver whose inputs are all refused at the door proves nothing.
inline uint64_t total = 0;
inline void reached(uint64_t amount) { total += amount; }

inline std::vector<uint8_t> bytes_of(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(in), {});
}

}  // namespace wiretrial::fuzz

#ifndef WIRETRIAL_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Of the target, when it has one.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) __attribute__((weak));

namespace wiretrial::fuzz {

inline uint32_t random_number() {
  static uint64_t state = 88172645463325252ull;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<uint32_t>(state >> 16);
}

inline std::vector<uint8_t> harmed(std::vector<uint8_t> in) {
  for (uint32_t n = random_number() % 5; n > 0 && !in.empty(); n--) {
    const size_t at = random_number() % in.size();
    switch (random_number() % 4) {
      case 0: in[at] ^= static_cast<uint8_t>(1u << random_number() % 8); break;
      case 1: in[at] = static_cast<uint8_t>(random_number()); break;
      case 2: in.resize(at); break;
      default: in.insert(in.begin() + static_cast<ptrdiff_t>(at), in[at]);
    }
  }
  return in;
}

}  // namespace wiretrial::fuzz

int main(int argc, char** argv) {
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  using namespace wiretrial::fuzz;
  std::vector<std::vector<uint8_t>> seeds;
  for (int i = 2; i < argc; i++) seeds.push_back(bytes_of(argv[i]));
  const long runs = argc > 1 ? std::atol(argv[1]) : 1000;
  for (long n = 0; n < runs && !seeds.empty(); n++) {
    const std::vector<uint8_t> in = harmed(seeds[random_number() % seeds.size()]);
    LLVMFuzzerTestOneInput(in.data(), in.size());
  }
  std::printf("%ld inputs of %zu seeds reached %llu, nothing found\n", runs, seeds.size(),
              static_cast<unsigned long long>(total));
  return total > 0 ? 0 : 1;
}
#endif
