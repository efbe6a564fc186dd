#include "snapshot/cpython/object_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "snapshot/cpython/utf8.h"

namespace memsnap {
namespace {

// Larger tables do not fit the address space: the number is forged.
constexpr unsigned kMaxLog2Size = 40;
constexpr std::size_t kBatch = 256;

}  // namespace

std::optional<std::uint64_t> ObjectReader::type_of(std::uint64_t object) const {
  return memory_.try_read<std::uint64_t>(object + layout_.object.ob_type);
}

std::uint64_t ObjectReader::type_flags(std::uint64_t type) const {
  return memory_.try_read<std::uint64_t>(type + layout_.type.tp_flags).value_or(0);
}

bool ObjectReader::is(std::uint64_t object, std::uint64_t flag) const {
  const auto type = type_of(object);
  return type && (type_flags(*type) & flag) != 0;
}

std::optional<ValuePlace> ObjectReader::characters_of(std::uint64_t object) const {
  const auto& form = layout_.text;
  const auto length = memory_.try_read<std::int64_t>(object + form.length);
  const auto state = memory_.try_read<std::uint32_t>(object + form.state);
  if (!length || !state || *length < 0 || *length > std::numeric_limits<std::int64_t>::max() / 4) return std::nullopt;
  const unsigned kind = *state >> form.kind_shift & 7;
  const bool compact = (*state >> form.compact_shift & 1) != 0;
  const bool ascii = (*state >> form.ascii_shift & 1) != 0;
  if (kind != 1 && kind != 2 && kind != 4) return std::nullopt;
  const auto count = static_cast<std::uint64_t>(*length);
  if (compact) return ValuePlace{object + (ascii ? form.ascii_size : form.compact_size), count, kind};
  const auto data = memory_.try_read<std::uint64_t>(object + form.data);
  if (!data) return std::nullopt;
  return ValuePlace{*data, count, kind};
}

std::optional<ValuePlace> ObjectReader::bytes_of(std::uint64_t object) const {
  const auto length = memory_.try_read<std::int64_t>(object + layout_.object.ob_size);
  if (!length || *length < 0) return std::nullopt;
  return ValuePlace{object + layout_.sequence.bytes_data, static_cast<std::uint64_t>(*length), 1};
}

std::optional<std::string> ObjectReader::text(std::uint64_t object, std::size_t limit) const {
  const auto place = is(object, kFlagUnicode) ? characters_of(object) : std::nullopt;
  if (!place) return std::nullopt;
  const std::size_t count = std::min<std::uint64_t>(place->count, limit);
  std::string bytes(count * place->unit, '\0');
  if (!memory_.copy(place->address, std::as_writable_bytes(std::span(bytes.data(), bytes.size())))) return std::nullopt;
  std::string out;
  out.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t c = 0;
    std::memcpy(&c, bytes.data() + i * place->unit, place->unit);
    append_utf8(out, c);
  }
  return out;
}

bool ObjectReader::text_equals(std::uint64_t object, std::string_view ascii) const {
  const auto length = memory_.try_read<std::uint64_t>(object + layout_.text.length);
  if (!length || *length != ascii.size()) return false;
  const auto value = text(object, ascii.size());
  return value && *value == ascii;
}

std::optional<std::int64_t> ObjectReader::integer(std::uint64_t object) const {
  if (!is(object, kFlagLong)) return std::nullopt;
  const auto tag = memory_.try_read<std::int64_t>(object + layout_.integer.tag);
  if (!tag) return std::nullopt;
  bool negative = *tag < 0;
  std::uint64_t count = negative ? 0 - static_cast<std::uint64_t>(*tag) : static_cast<std::uint64_t>(*tag);
  if (layout_.integer.tag_shift != 0) {
    negative = (*tag & 3) == 2;
    count = static_cast<std::uint64_t>(*tag) >> layout_.integer.tag_shift;
  }
  if (count > 2) return std::nullopt;
  std::int64_t value = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto digit = memory_.try_read<std::uint32_t>(object + layout_.integer.digits + 4 * i);
    if (!digit) return std::nullopt;
    value |= static_cast<std::int64_t>(*digit & 0x3fffffff) << (30 * i);
  }
  return negative ? -value : value;
}

std::vector<std::uint64_t> ObjectReader::items(std::uint64_t object, std::size_t limit) const {
  const auto size = memory_.try_read<std::int64_t>(object + layout_.object.ob_size);
  if (!size || *size <= 0) return {};
  std::uint64_t begin = object + layout_.sequence.tuple_items;
  if (is(object, kFlagList)) {
    begin = memory_.try_read<std::uint64_t>(object + layout_.sequence.list_items).value_or(0);
  } else if (!is(object, kFlagTuple)) {
    return {};
  }
  std::vector<std::uint64_t> result;
  const std::size_t count = std::min(static_cast<std::uint64_t>(*size), static_cast<std::uint64_t>(limit));
  // In batches: a forged length costs no more memory than there is to read.
  while (result.size() < count) {
    const std::size_t done = result.size();
    const std::size_t batch = std::min(kBatch, count - done);
    result.resize(done + batch);
    if (!memory_.copy(begin + 8 * done, std::as_writable_bytes(std::span(result).subspan(done)))) {
      result.resize(done);
      return result;
    }
  }
  return result;
}

std::optional<ObjectReader::Keys> ObjectReader::read_keys(std::uint64_t keys) const {
  const auto& form = layout_.dict;
  const auto used = memory_.try_read<std::int64_t>(keys + form.dk_nentries);
  if (!used || *used < 0) return std::nullopt;
  Keys result;
  std::uint64_t slots = 0;
  std::uint64_t index_bytes = 0;
  if (form.keys_form == 0) {
    const auto size = memory_.try_read<std::uint64_t>(keys + form.dk_size);
    if (!size || *size > 1ull << kMaxLog2Size) return std::nullopt;
    slots = *size;
    index_bytes = slots * (slots <= 0xff ? 1u : slots <= 0xffff ? 2u : slots <= 0xffffffff ? 4u : 8u);
    result.stride = 24;
    result.key_offset = 8;
  } else {
    const auto log2_size = memory_.try_read<std::uint8_t>(keys + form.dk_size);
    const auto log2_bytes = memory_.try_read<std::uint8_t>(keys + form.dk_log2_index_bytes);
    const auto kind = memory_.try_read<std::uint8_t>(keys + form.dk_kind);
    if (!log2_size || !log2_bytes || !kind || *log2_size > kMaxLog2Size || *log2_bytes > kMaxLog2Size + 3) {
      return std::nullopt;
    }
    slots = 1ull << *log2_size;
    index_bytes = 1ull << *log2_bytes;
    result.stride = *kind == 0 ? 24 : 16;  // DICT_KEYS_GENERAL keeps the hash too
    result.key_offset = *kind == 0 ? 8 : 0;
  }
  if (static_cast<std::uint64_t>(*used) > slots) return std::nullopt;
  result.entries = keys + form.keys_header + index_bytes;
  result.used = static_cast<std::uint64_t>(*used);
  return result;
}

bool ObjectReader::for_each_entry(std::uint64_t dict, const DictVisitor& visit, std::size_t limit) const {
  const auto keys_at = memory_.try_read<std::uint64_t>(dict + layout_.dict.ma_keys);
  const auto values = memory_.try_read<std::uint64_t>(dict + layout_.dict.ma_values);
  if (!keys_at || !values || *keys_at == 0) return false;
  const auto keys = read_keys(*keys_at);
  if (!keys) return false;
  const std::uint64_t count = std::min(keys->used, static_cast<std::uint64_t>(limit));
  std::array<std::byte, kBatch * 24> buffer{};
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t batch = std::min<std::uint64_t>(kBatch, count - done);
    const auto bytes = std::span(buffer).first(batch * keys->stride);
    if (!memory_.copy(keys->entries + done * keys->stride, bytes)) return false;
    for (std::uint64_t i = 0; i < batch; ++i) {
      std::array<std::uint64_t, 2> pair{};
      std::memcpy(pair.data(), bytes.data() + i * keys->stride + keys->key_offset, sizeof(pair));
      if (*values != 0) {
        const auto value = memory_.try_read<std::uint64_t>(*values + layout_.dict.values_items + 8 * (done + i));
        if (!value) return false;
        pair[1] = *value;
      }
      if (pair[0] != 0 && pair[1] != 0 && !visit(pair[0], pair[1])) return true;
    }
    done += batch;
  }
  return true;
}

std::optional<std::uint64_t> ObjectReader::find(std::uint64_t dict, std::string_view key) const {
  std::optional<std::uint64_t> found;
  if (!is(dict, kFlagDict)) return found;
  for_each_entry(dict, [&](std::uint64_t at, std::uint64_t value) {
    if (!text_equals(at, key)) return true;
    found = value;
    return false;
  });
  return found;
}

}  // namespace memsnap
