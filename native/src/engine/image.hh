// The tables of classes as one flat image, which workers map and read in place
// (src/image/classes/flat.ts has its layout). `Classes` follows numbers in it without looking at
// bounds, so everything that it follows is verified here once: what was cut, changed, or made by
// somebody else is refused, and an image that is not refused can be read for any packet.
#pragma once

#include <vector>

#include "classes.hh"

namespace wiretrial {

namespace image {

constexpr uint32_t kMagic = 0x4d495457;  // "WTIM"
constexpr uint32_t kVersion = 1;
constexpr uint32_t kAlignment = 64;
constexpr uint32_t kChecked = 4;  // the first word that the checksum covers
constexpr uint32_t kSections = 10;
constexpr uint32_t kHead = 6 + 2 * kSections;

constexpr uint32_t kRoot = 65536;
constexpr uint32_t kBlockCells = 256;
constexpr uint32_t kBlock = 0x80000000;
constexpr uint32_t kPorts = 65536;

// FNV-1a over words.
inline uint32_t sum(const uint32_t* words, size_t count) {
  uint32_t sum = 0x811c9dc5;
  for (size_t i = kChecked; i < count; i++) sum = (sum ^ words[i]) * 0x01000193;
  return sum;
}

// Blocks exist, and are at most two deep. Each is looked at once, however many cells lead there.
inline bool are_cells(const uint32_t* cells, size_t count) {
  if (count < kRoot || (count - kRoot) % kBlockCells != 0) return false;
  const size_t blocks = (count - kRoot) / kBlockCells;
  const uint32_t* first = cells + kRoot;
  enum : uint8_t { kLeaf, kForks, kUnderRoot };
  std::vector<uint8_t> kinds(blocks, kLeaf);
  for (size_t at = 0; at < blocks * kBlockCells; at++) {
    if (!(first[at] & kBlock)) continue;
    if ((first[at] & ~kBlock) >= blocks) return false;
    kinds[at / kBlockCells] = kForks;
  }
  for (uint32_t i = 0; i < kRoot; i++) {
    if (!(cells[i] & kBlock)) continue;
    const size_t block = cells[i] & ~kBlock;
    if (block >= blocks) return false;
    if (kinds[block] != kForks) continue;
    kinds[block] = kUnderRoot;
    for (uint32_t j = 0; j < kBlockCells; j++) {
      const uint32_t cell = first[block * kBlockCells + j];
      if ((cell & kBlock) && kinds[cell & ~kBlock] != kLeaf) return false;
    }
  }
  return true;
}

// Children exist and are longer than their parents, so that every walk ends. `width`: words of an
// address.
inline bool are_nodes(const uint32_t* nodes, size_t count, uint32_t width) {
  constexpr uint32_t kFork = 0xffffffff;
  const uint32_t stride = width + 4;
  if (count == 0 || count % stride != 0) return false;
  const size_t size = count / stride;
  const auto length = [&](size_t node) { return nodes[node * stride + width]; };
  if (nodes[width + 3] == kFork) return false;
  for (size_t node = 0; node < size; node++) {
    for (uint32_t side = 0; side < 2; side++) {
      const uint32_t child = nodes[node * stride + width + 1 + side];
      if (child == 0) continue;
      if (child >= size || length(child) <= length(node) || length(child) > width * 32) return false;
    }
  }
  return true;
}

// Find the tables in an image, whatever its checksum; false when it leads outside of itself.
inline bool find_tables(const uint32_t* words, size_t count, ClassTables& tables) {
  const uint64_t bytes = static_cast<uint64_t>(count) * 4;
  if (count < kHead || bytes % kAlignment != 0) return false;
  if (words[0] != kMagic || words[1] != kVersion) return false;
  if (words[2] != bytes) return false;
  const uint32_t* at[kSections];
  uint32_t size[kSections];
  // The hosts' names stand first; nothing here reads them.
  for (uint32_t i = 0; i <= kSections; i++) {
    const uint64_t offset = words[4 + 2 * i];
    const uint64_t length = words[5 + 2 * i];
    if (offset % kAlignment != 0 || offset + length > bytes) return false;
    if (i == 0) continue;
    at[i - 1] = words + offset / 4;
    size[i - 1] = static_cast<uint32_t>(length);
    if (length % (i > 6 ? 2 : 4) != 0) return false;
  }
  for (uint32_t side = 0; side < 2; side++) {
    if (!are_cells(at[side], size[side] / 4)) return false;
    if (!are_nodes(at[2 + side], size[2 + side] / 4, 1)) return false;
    if (!are_nodes(at[4 + side], size[4 + side] / 4, 4)) return false;
    if (size[6 + side] != kPorts * 2 || size[8 + side] != kPorts * 2) return false;
    tables.direct[side] = at[side];
    tables.trie6[side] = at[4 + side];
    tables.tcp[side] = reinterpret_cast<const uint16_t*>(at[6 + side]);
    tables.udp[side] = reinterpret_cast<const uint16_t*>(at[8 + side]);
  }
  return true;
}

}  // namespace image

// Find the tables in an image; false when it is not whole. `words` is as long as `count` says.
inline bool read_image(const uint32_t* words, size_t count, ClassTables& tables) {
  if (count < image::kHead || words[3] != image::sum(words, count)) return false;
  return image::find_tables(words, count, tables);
}

}  // namespace wiretrial
