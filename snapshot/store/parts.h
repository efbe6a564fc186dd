#pragma once

#include <cstdint>

namespace memsnap {

// Parts of a snapshot file. The numbers are in files: never renumbered, never used again.
enum PartId : std::uint32_t {
  kPartIdHeader = 1,  // JSON
  kPartIdTypeNames = 2,
  kPartIdTypes = 3,
  kPartIdRoots = 4,
  kPartIdStringLengths = 5,
  kPartIdStringBytes = 6,
  kPartIdType = 7,
  kPartIdSize = 8,
  kPartIdFlags = 9,
  kPartIdAddress = 10,
  kPartIdDegree = 11,
  kPartIdLabel = 12,
  kPartIdTarget = 13,
  kPartIdDominator = 14,
  kPartIdRetained = 15,
  kPartIdText = 16,
  kPartIdTextHash = 17,
  kPartIdThreads = 18,
  kPartIdThreadTexts = 19,
  kPartIdTypeNative = 20,
  kPartIdProfile = 21,
  kPartIdProfileTexts = 22,
  kPartIdProfileFrames = 23,
  kPartIdProfileCalls = 24,
  kPartIdProfileRows = 25,
  kPartIdProfileSlices = 26,
  kPartIdProfileChanges = 27,
  kPartIdSite = 28,
};

}  // namespace memsnap
