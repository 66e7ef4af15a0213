// Memory of the engine's tables: taken once at load, zeroed, on huge pages where there are any.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace wiretrial {

constexpr size_t kHugePage = 2u << 20;

#ifdef WIRETRIAL_GUARDED_MEMORY

// From the allocator, exactly as much, so that a sanitizer sees what is read behind a table.
inline void* take_memory(size_t bytes) {
  const size_t lines = (bytes + 63) / 64 * 64;
  void* at = std::aligned_alloc(64, lines == 0 ? 64 : lines);
  if (at != nullptr) std::memset(at, 0, lines);
  return at;
}

inline void give_back(void* at, size_t) { std::free(at); }

#else

// Null when there is not enough.
inline void* take_memory(size_t bytes) {
  const size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* at = mmap(nullptr, rounded, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  madvise(at, rounded, MADV_HUGEPAGE);
#endif
  return at;
}

inline void give_back(void* at, size_t bytes) {
  if (at == nullptr) return;
  munmap(at, (bytes + kHugePage - 1) / kHugePage * kHugePage);
}

#endif

// The power of two at or above `n`.
inline uint32_t power_at_least(uint64_t n) {
  uint64_t p = 1;
  while (p < n) p <<= 1;
  return static_cast<uint32_t>(p);
}

}  // namespace wiretrial
