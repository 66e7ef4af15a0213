// Harmed images of classes: whatever is changed in a real one, were its checksum right again, is
// refused, or harmless to read for any packet.
//
// Input: changes of eight bytes each, which word and what it becomes; the low two bits of the first
// number say in which part of the image. The image is the file that WIRETRIAL_IMAGE names.
#include <cstring>

#include "../src/engine/image.hh"
#include "driver.hh"

namespace {

using namespace wiretrial;

std::vector<uint32_t> words;

uint32_t place_of(uint32_t number) {
  const uint32_t in = number >> 2;
  const auto count = static_cast<uint32_t>(words.size());
  switch (number & 3) {
    case 0: return in % image::kHead;
    case 1: return in % count;
    // The first nodes and cells of a section, its blocks, its end.
    case 2: return (words[6 + 2 * (in % image::kSections)] / 4 + (in >> 4) % 4096) % count;
    default: return (words[6 + 2 * (in % image::kSections)] / 4 + image::kRoot + (in >> 4) % 8192) % count;
  }
}

// Returns how many packets were asked for.
uint64_t read_all(const ClassTables& tables, uint32_t seed) {
  AddressBook book(64);
  Classes classes(64);
  classes.use(tables);
  uint32_t state = seed | 1;
  const auto next = [&] { return state = state * 1664525 + 1013904223; };
  uint64_t asked = 0;
  for (uint32_t i = 0; i < 64; i++) {
    Facts f{};
    f.protocol = i & 1 ? kTcp : kUdp;
    f.sport = next() >> 16;
    f.dport = i & 2 ? 0xffff : next() >> 16;
    f.family = i & 4 ? 6 : 4;
    if (f.family == 4) {
      f.src = i & 8 ? 0xffffffff : next();
      f.dst = 10u << 24 | next() >> 8;
    } else {
      uint8_t address[16];
      for (uint8_t& byte : address) byte = static_cast<uint8_t>(next() >> 24);
      f.src = f.dst = book.number_of(address);
    }
    classes.of(f, book);
    asked += 1;
  }
  return asked;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* path = std::getenv("WIRETRIAL_IMAGE");
  const std::vector<uint8_t> bytes = fuzz::bytes_of(path == nullptr ? "" : path);
  words.resize(bytes.size() / 4);
  if (!words.empty()) std::memcpy(words.data(), bytes.data(), words.size() * 4);
  ClassTables tables;
  if (read_image(words.data(), words.size(), tables)) return 0;
  std::fprintf(stderr, "WIRETRIAL_IMAGE names no whole image\n");
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Copied each time: a section that leads behind the end is seen.
  std::vector<uint32_t> harmed = words;
  uint32_t seed = 1;
  for (size_t at = 0; at + 8 <= size; at += 8) {
    uint32_t number, value;
    std::memcpy(&number, data + at, 4);
    std::memcpy(&value, data + at + 4, 4);
    harmed[place_of(number)] = value;
    seed = seed * 31 + value;
  }
  ClassTables tables;
  if (image::find_tables(harmed.data(), harmed.size(), tables)) fuzz::reached(read_all(tables, seed));
  return 0;
}
