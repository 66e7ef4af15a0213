// Written from src/engine/compiled/layout.ts by bench/layout.ts; do not edit.
#pragma once

#include <cstdint>

namespace wiretrial::layout {

constexpr uint32_t kVersion = 15;
constexpr uint32_t kScratchWords = 160;
constexpr uint32_t kTupleWords = 12;
constexpr uint32_t kSideWords = 6;
constexpr uint32_t kFamily = 0;
constexpr uint32_t kProtocol = 1;
constexpr uint32_t kSrc = 2;
constexpr uint32_t kDst = 6;
constexpr uint32_t kSport = 10;
constexpr uint32_t kDport = 11;
constexpr uint32_t kOrder = 12;
constexpr uint32_t kExpiresNs = 13;
constexpr uint32_t kStreamNs = 15;
constexpr uint32_t kBytes = 16;
constexpr uint32_t kPackets = 18;
constexpr uint32_t kFlags = 20;
constexpr uint32_t kHostSet = 21;
constexpr uint32_t kNames = 22;
constexpr uint32_t kEnds = 23;
constexpr uint32_t kState = 24;
constexpr uint32_t kLastIndex = 25;
constexpr uint32_t kLastDirection = 26;
constexpr uint32_t kLastSeq = 27;
constexpr uint32_t kLastAck = 28;
constexpr uint32_t kLastEnd = 29;
constexpr uint32_t kLastWindow = 30;
constexpr uint32_t kRetransmissions = 31;
constexpr uint32_t kLastScale = 32;
constexpr uint32_t kTrackingBits = 33;
constexpr uint32_t kSide = 34;
constexpr uint32_t kEntry = 46;
constexpr uint32_t kFlowState = 47;
constexpr uint32_t kHostSetBefore = 48;
constexpr uint32_t kHostSetAfter = 49;
constexpr uint32_t kBy = 50;
constexpr uint32_t kDecisionFlags = 51;
constexpr uint32_t kTosAfter = 52;
constexpr uint32_t kTtlChange = 53;
constexpr uint32_t kTtlRoom = 54;
constexpr uint32_t kMtu = 55;
constexpr uint32_t kLinkHeader = 56;
constexpr uint32_t kHostSetOpened = 70;
constexpr uint32_t kSettings = 72;
constexpr uint32_t kOtherSport = 94;
constexpr uint32_t kOtherDport = 95;
constexpr uint32_t kOtherNames = 96;
constexpr uint32_t kByFlags = 1;
constexpr uint32_t kBySport = 2;
constexpr uint32_t kByDport = 4;
constexpr uint32_t kBySource = 8;
constexpr uint32_t kByDestination = 16;
constexpr uint32_t kBySourcePort = 32;
constexpr uint32_t kByDestinationPort = 64;

}  // namespace wiretrial::layout
