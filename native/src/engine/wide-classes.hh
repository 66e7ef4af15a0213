// Classes of kWidth addresses and ports at a time: the same as classes.hh finds one by one. Included
// after wide.hh.

// `direct_class` of kWidth addresses.
inline Words direct_classes(const uint32_t* cells, Words address) {
  Words cell = gathered(cells, address >> 16);
  for (uint32_t shift = 8;; shift -= 8) {
    // The highest bit marks a block.
    if (bits_of(cell) == 0) return cell;
    const Words at = (cell << 8) + 65536 + (address >> shift & 0xff);
    cell = gathered(cells, at, cell, cell);
    if (shift == 0) return cell;
  }
}

// Classes of ports where `which` is all ones, elsewhere 0. Two stand in each word that is loaded: no
// load goes past the table's end.
inline Words port_classes(const uint16_t* table, Words port, Words which) {
  const auto* words = reinterpret_cast<const uint32_t*>(table);
  return gathered(words, port >> 1, which, Words{}) >> ((port & 1) * 16) & 0xffff;
}
