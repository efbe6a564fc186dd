#include "attach/kept_memory.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace memsnap {

KeptMemory::KeptMemory(pid_t pid) : live_(pid) {
  constexpr std::size_t kFirstSlabs = 4;
  for (std::size_t i = 0; i < kFirstSlabs; ++i) slabs_.emplace_back(kSlabPages * kPage);
  pages_.reserve(kFirstSlabs * kSlabPages);
}

std::byte* KeptMemory::room() const {
  if (used_ == slabs_.size() * kSlabPages) slabs_.emplace_back(kSlabPages * kPage);
  std::byte* const bytes = slabs_[used_ / kSlabPages].data() + used_ % kSlabPages * kPage;
  ++used_;
  return bytes;
}

bool KeptMemory::may_read(std::uint64_t number) const {
  if (map_) {
    const Mapping* const mapping = map_->find(number * kPage);
    return mapping != nullptr && mapping->readable && !mapping->writable;
  }
  if (!deadline_ || std::chrono::steady_clock::now() < *deadline_) return true;
  expired_ = true;
  return false;
}

const std::byte* KeptMemory::page(std::uint64_t number) const {
  const auto found = pages_.find(number);
  if (found != pages_.end()) return found->second;
  if (!may_read(number)) return nullptr;
  std::byte* bytes = room();
  if (!live_.copy(number * kPage, {bytes, kPage})) {
    --used_;
    bytes = nullptr;
  }
  return pages_.emplace(number, bytes).first->second;
}

void KeptMemory::keep(std::uint64_t begin, std::uint64_t end) {
  constexpr std::uint64_t kBatch = 64;
  std::vector<std::byte> batch;
  for (std::uint64_t number = begin / kPage; number < (end + kPage - 1) / kPage;) {
    const std::uint64_t count = std::min(kBatch, (end + kPage - 1) / kPage - number);
    batch.resize(count * kPage);
    if (!may_read(number)) return;
    if (!live_.copy(number * kPage, batch)) {  // a hole in it: page by page up to there
      if (page(number++) == nullptr) return;
      continue;
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      std::byte*& kept = pages_[number + i];
      if (kept != nullptr) continue;
      kept = room();
      std::memcpy(kept, batch.data() + i * kPage, kPage);
    }
    number += count;
  }
}

void KeptMemory::let_go(MemoryMap map) { map_ = std::move(map); }

bool KeptMemory::copy(std::uint64_t address, std::span<std::byte> out) const {
  if (address + out.size() < address) return false;
  while (!out.empty()) {
    const std::size_t offset = address % kPage;
    const std::size_t size = std::min(out.size(), kPage - offset);
    const std::byte* const bytes = page(address / kPage);
    if (bytes == nullptr) return false;
    std::memcpy(out.data(), bytes + offset, size);
    out = out.subspan(size);
    address += size;
  }
  return true;
}

}  // namespace memsnap
