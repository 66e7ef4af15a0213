// Vectors of WIRETRIAL_WIDTH 32-bit words, and what is done with them everywhere. Included once for
// each kind of processor, inside of a namespace of its own, where the compiler has been told of that
// kind: vectors are GCC's, and become its instructions.

// Packets in a vector.
constexpr uint32_t kWidth = WIRETRIAL_WIDTH;
constexpr uint32_t kAllLanes = (1u << kWidth) - 1;

using Words = uint32_t __attribute__((vector_size(4 * kWidth)));
using Signs = int32_t __attribute__((vector_size(4 * kWidth)));

inline Words mask_of(Signs s) { return (Words)s; }

inline Words all(uint32_t value) { return Words{} + value; }

template <typename T>
inline T load_as(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void store(uint32_t* to, Words w) { std::memcpy(to, &w, sizeof w); }

// One bit for each word: its highest, which says it of words that are all ones or none.
inline uint32_t bits_of(Words mask) {
#if WIRETRIAL_WIDTH == 8
  using Floats = float __attribute__((vector_size(32)));
  return static_cast<uint32_t>(__builtin_ia32_movmskps256((Floats)mask));
#elif WIRETRIAL_WIDTH == 16
  return static_cast<uint32_t>(__builtin_ia32_cvtd2mask512((Signs)mask));
#else
  uint32_t bits = 0;
  for (uint32_t i = 0; i < kWidth; i++) bits |= (mask[i] >> 31) << i;
  return bits;
#endif
}

// By lane, `from[at]`.
inline Words gathered(const uint32_t* from, Words at) {
#if WIRETRIAL_WIDTH == 8
  return (Words)__builtin_ia32_gathersiv8si((Signs){}, reinterpret_cast<const int*>(from),
                                            (Signs)at, (Signs)all(~0u), 4);
#elif WIRETRIAL_WIDTH == 16
  return (Words)__builtin_ia32_gathersiv16si((Signs){}, from, (Signs)at, 0xffff, 4);
#else
  Words words{};
  for (uint32_t i = 0; i < kWidth; i++) words[i] = from[at[i]];
  return words;
#endif
}

// The same where the highest bit of `which` is set; elsewhere nothing is loaded, and `otherwise`
// stays.
inline Words gathered(const uint32_t* from, Words at, Words which, Words otherwise) {
#if WIRETRIAL_WIDTH == 8
  return (Words)__builtin_ia32_gathersiv8si((Signs)otherwise, reinterpret_cast<const int*>(from),
                                            (Signs)at, (Signs)which, 4);
#elif WIRETRIAL_WIDTH == 16
  const auto lanes = static_cast<uint16_t>(bits_of(which));
  return (Words)__builtin_ia32_gathersiv16si((Signs)otherwise, from, (Signs)at, lanes, 4);
#else
  for (uint32_t i = 0; i < kWidth; i++) if (which[i] >> 31) otherwise[i] = from[at[i]];
  return otherwise;
#endif
}
