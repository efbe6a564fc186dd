#include "snapshot/model/string_table.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <stdexcept>
#include <utility>

namespace memsnap {
namespace {

constexpr std::size_t kFirstSlots = 64;
constexpr std::size_t kMaxBytes = std::numeric_limits<std::uint32_t>::max();
constexpr StringId kFree = 0;  // the empty string is never looked up, so its id marks a free slot

}  // namespace

StringTable::StringTable() : begin_{0, 0} {}

StringTable::StringTable(std::string buffer, std::vector<std::uint32_t> begin)
    : buffer_(std::move(buffer)), begin_(std::move(begin)) {
  if (begin_.size() < 2 || begin_[0] != 0 || begin_[1] != 0 || begin_.back() != buffer_.size()) {
    throw std::invalid_argument("string offsets do not fit the text");
  }
  for (std::size_t i = 1; i < begin_.size(); ++i) {
    if (begin_[i] < begin_[i - 1]) throw std::invalid_argument("string offsets are not in order");
  }
}

StringId StringTable::add(std::string_view text) {
  if (text.empty()) return 0;
  if (slots_.size() < 2 * size()) index(std::bit_ceil(4 * size()));
  const std::size_t slot = slot_of(text);
  if (slots_[slot] != kFree) return slots_[slot];
  if (text.size() > kMaxBytes - buffer_.size() || size() >= kMaxBytes) return 0;
  const auto id = static_cast<StringId>(size());
  buffer_.append(text);
  begin_.push_back(static_cast<std::uint32_t>(buffer_.size()));
  slots_[slot] = id;
  return id;
}

std::optional<StringId> StringTable::find(std::string_view text) const {
  if (text.empty()) return 0;
  if (slots_.empty()) index(std::bit_ceil(4 * size()));
  const StringId id = slots_[slot_of(text)];
  if (id == kFree) return std::nullopt;
  return id;
}

std::string_view StringTable::text(StringId id) const {
  if (id >= size()) return {};
  return std::string_view(buffer_).substr(begin_[id], begin_[id + 1] - begin_[id]);
}

std::size_t StringTable::slot_of(std::string_view wanted) const {
  const std::size_t mask = slots_.size() - 1;
  const std::size_t hash = std::hash<std::string_view>{}(wanted);
  std::size_t slot = hash & mask;
  while (slots_[slot] != kFree && text(slots_[slot]) != wanted) slot = (slot + 1) & mask;
  return slot;
}

void StringTable::index(std::size_t slots) const {
  slots_.assign(std::max(slots, kFirstSlots), kFree);
  for (StringId id = 1; id < size(); ++id) {
    if (text(id).empty()) continue;
    const std::size_t slot = slot_of(text(id));
    if (slots_[slot] == kFree) slots_[slot] = id;
  }
}

}  // namespace memsnap
