#include "inject/agent/code_table.h"

namespace memsnap::agent {
namespace {

void copy(std::uint64_t to, std::uint64_t from, std::uint64_t count) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

// The place of the next `size` bytes in the texts, or ~0.
std::uint64_t reserve(std::uint64_t size) {
  std::uint64_t at = __atomic_load_n(&tables.header->text_bytes, __ATOMIC_RELAXED);
  for (;;) {
    if (at > tables.text_capacity || size > tables.text_capacity - at) {
      add_relaxed(&tables.header->lost.no_room, std::uint64_t{1});
      return ~std::uint64_t{0};
    }
    if (__atomic_compare_exchange_n(&tables.header->text_bytes, &at, at + size, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
      return at;
  }
}

struct Text {
  std::uint64_t data = 0;
  std::uint32_t length = 0;
  std::uint8_t unit = 0;
  std::uint64_t bytes() const { return static_cast<std::uint64_t>(length) * unit; }
};

Text bounded(std::uint64_t data, std::uint64_t length, std::uint8_t unit) {
  const std::uint64_t most = kAgentTextMost / unit;
  return {.data = data, .length = static_cast<std::uint32_t>(length < most ? length : most), .unit = unit};
}

// A str: its characters lie behind its header, or (up to 3.11) apart from it.
Text text_of(const HeapLayout::Text& layout, std::uint64_t object) {
  if (object == 0) return {};
  const auto state = layout.state_bytes >= 4 ? read_at<std::uint32_t>(object + layout.state)
                                             : read_at<std::uint16_t>(object + layout.state);
  const std::uint32_t kind = state >> layout.kind_shift & 7;
  const bool compact = (state >> layout.compact_shift & 1) != 0;
  const bool ascii = (state >> layout.ascii_shift & 1) != 0;
  if (kind != 1 && kind != 2 && kind != 4) return {};
  std::uint64_t data = object + (ascii ? layout.ascii_size : layout.compact_size);
  if (!compact) data = word_at(object + layout.data);
  if (data == 0) return {};
  return bounded(data, word_at(object + layout.length), static_cast<std::uint8_t>(kind));
}

Text bytes_of(const HeapLayout& layout, std::uint64_t object) {
  if (object == 0) return {};
  return bounded(object + layout.sequence.bytes_data, word_at(object + layout.object.ob_size), 1);
}

void describe(AgentCode& record, std::uint64_t code, std::uint64_t fingerprint) {
  const HeapLayout& layout = config.layout;
  const HeapLayout::Code& at = layout.code;
  const Text file = text_of(layout.text, word_at(code + at.co_filename));
  const Text name = text_of(layout.text, word_at(code + (at.co_qualname != 0 ? at.co_qualname : at.co_name)));
  const Text table = bytes_of(layout, word_at(code + at.co_linetable));
  record.address = code;
  record.fingerprint = fingerprint;
  record.code_start = at.co_code_adaptive != 0 ? code + at.co_code_adaptive : 0;
  record.first_line = read_at<std::int32_t>(code + at.co_firstlineno);
  const std::uint64_t place = reserve(file.bytes() + name.bytes() + table.bytes());
  if (place == ~std::uint64_t{0}) return;
  std::uint64_t to = tables.texts + place;
  const Text pieces[] = {file, name, table};  // NOLINT(modernize-avoid-c-arrays): no library here
  for (const Text& piece : pieces) {
    copy(to, piece.data, piece.bytes());
    to += piece.bytes();
  }
  record.text = place;
  record.file_length = file.length;
  record.file_unit = file.unit;
  record.name_length = name.length;
  record.name_unit = name.unit;
  record.table_length = table.length;
  record.table_unit = table.unit;
}

}  // namespace

std::uint32_t code_of(std::uint64_t code, std::uint64_t fingerprint) {
  constexpr std::uint64_t kMostProbes = 1024;
  if (word_at(code + config.layout.object.ob_type) != config.code_type) return 0;
  std::uint64_t hash = mixed(code);
  std::uint32_t made = 0;
  for (std::uint64_t probe = 0; probe < kMostProbes; ++probe, ++hash) {
    std::uint32_t* const at = tables.code_hash + (hash & tables.code_mask);
    std::uint32_t found = load_acquire(at);
    if (found == 0) {
      if (made == 0) {
        made = next_number(&tables.header->code_count, tables.code_capacity);
        if (made == 0) return 0;
        describe(tables.codes[made], code, fingerprint);
        store_release(&tables.codes[made].ready, std::uint8_t{1});
      }
      if (__atomic_compare_exchange_n(at, &found, made, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) return made;
    }
    // Another thread may have been faster: then a record of ours is left unused.
    const AgentCode& record = tables.codes[found];
    if (record.address == code && record.fingerprint == fingerprint) return found;
  }
  add_relaxed(&tables.header->lost.no_room, std::uint64_t{1});
  return 0;
}

}  // namespace memsnap::agent
