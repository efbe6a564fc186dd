#include "snapshot/store/text_list.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "snapshot/store/container_layout.h"
#include "snapshot/store/parts.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMostTexts = 256u << 20;  // bytes

}  // namespace

void write_text_list(ContainerWriter& out, std::uint32_t part, const StringTable& strings) {
  LittleEndian texts;
  for (StringId id = 0; id < strings.size(); ++id) {
    const std::string_view text = strings.text(id);
    texts.put32(static_cast<std::uint32_t>(text.size()));
    texts.bytes.insert(texts.bytes.end(), text.begin(), text.end());
  }
  out.begin_part(part);
  out.bytes(texts.bytes);
  out.end_part(strings.size());
}

StringTable read_text_list(ContainerReader& in, std::uint32_t id) {
  const PartEntry* const part = in.find(id);
  if (part == nullptr) in.throw_damaged("part \"" + part_name(id) + "\" is missing");
  const auto bytes = in.read_bytes(*part, kMostTexts);
  std::string texts;
  std::vector<std::uint32_t> begin{0};
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < part->items; ++i) {
    if (bytes.size() - at < 4) in.throw_damaged(part->id);
    const auto size = load<std::uint32_t>(&bytes[at]);
    at += 4;
    if (bytes.size() - at < size) in.throw_damaged(part->id);
    texts.append(reinterpret_cast<const char*>(bytes.data()) + at, size);
    begin.push_back(static_cast<std::uint32_t>(texts.size()));
    at += size;
  }
  if (at != bytes.size()) in.throw_damaged(part->id);
  if (begin.size() == 1) return {};
  try {
    return {std::move(texts), std::move(begin)};
  } catch (const std::invalid_argument&) {
    in.throw_damaged(part->id);
  }
}

}  // namespace memsnap
