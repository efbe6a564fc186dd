#include "snapshot/capture/code_texts.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "snapshot/cpython/py_version.h"
#include "snapshot/cpython/utf8.h"

namespace memsnap {
namespace {

constexpr const char* kUnknown = "?";
constexpr std::uint64_t kLineWork = std::uint64_t{2} << 30;

LineTableForm form_of(std::uint32_t python_hex) {
  const PyVersion version(python_hex);
  if (version.at_least(3, 11)) return LineTableForm::kLocations;
  return version.at_least(3, 10) ? LineTableForm::kRanges : LineTableForm::kLnotab;
}

std::uint32_t character(std::span<const std::uint8_t> bytes, std::size_t at, unsigned unit) {
  std::uint32_t c = 0;
  std::memcpy(&c, &bytes[at], unit);
  return c;
}

bool is_unit(std::uint8_t unit) { return unit == 1 || unit == 2 || unit == 4; }

}  // namespace

CodeTexts::CodeTexts(const TableReader& tables, StringTable& strings)
    : tables_(tables),
      strings_(strings),
      form_(form_of(tables.header().python_hex)),
      // Pieces of honest codes do not overlap.
      budget_(tables.header().sections.texts.capacity),
      line_budget_(kLineWork) {}

bool CodeTexts::spend(std::uint64_t bytes) {
  if (bytes > budget_) return false;
  budget_ -= bytes;
  return true;
}

void CodeTexts::refresh() {
  const std::vector<AgentCode> codes = tables_.codes(settled_);
  const std::uint32_t first = settled_;
  entries_.resize(std::max<std::size_t>(entries_.size(), first + codes.size()));
  for (std::size_t i = 0; i < codes.size(); ++i) {
    Entry& entry = entries_[first + i];
    if (!entry.known && codes[i].ready == 1) {
      entry.known = true;
      entry.code = codes[i];
      entry.names = read_names(codes[i]);
    }
    if (entry.known && settled_ == first + i) ++settled_;
  }
}

CodeTexts::Names CodeTexts::read_names(const AgentCode& code) {
  Names names;
  const std::uint64_t file_bytes = std::uint64_t{code.file_length} * code.file_unit;
  names.file = read_text(code.text, code.file_length, code.file_unit);
  names.function = read_text(code.text + file_bytes, code.name_length, code.name_unit);
  names.first_line = code.first_line > 0 ? static_cast<std::uint32_t>(code.first_line) : 0;
  return names;
}

StringId CodeTexts::read_text(std::uint64_t offset, std::uint32_t length, std::uint8_t unit) {
  const std::uint64_t size = std::uint64_t{length} * unit;
  if (!is_unit(unit) || size > kAgentTextMost || !spend(size)) return strings_.add(kUnknown);
  const std::vector<std::uint8_t> bytes = tables_.text(offset, size);
  if (bytes.size() != size) return strings_.add(kUnknown);
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += unit) append_utf8(text, character(bytes, at, unit));
  return strings_.add(text.empty() ? kUnknown : text);
}

std::optional<CodeTexts::Names> CodeTexts::names(std::uint32_t code) const {
  if (code >= entries_.size() || !entries_[code].known) return std::nullopt;
  return entries_[code].names;
}

std::int64_t CodeTexts::position(const AgentCode& code, std::uint64_t instruction) const {
  if (form_ == LineTableForm::kLocations) return static_cast<std::int64_t>(instruction - code.code_start);
  const auto last = static_cast<std::int32_t>(static_cast<std::uint32_t>(instruction));
  return std::int64_t{last} * (form_ == LineTableForm::kRanges ? 2 : 1);  // 3.10 counts instructions
}

std::uint32_t CodeTexts::line(std::uint32_t code, std::uint64_t instruction) {
  if (code >= entries_.size() || !entries_[code].known) return 0;
  const AgentCode& entry = entries_[code].code;
  if (entry.table_unit != 1 || entry.table_length > kAgentTextMost || entry.table_length > line_budget_) return 0;
  line_budget_ -= entry.table_length;
  const std::uint64_t before =
      std::uint64_t{entry.file_length} * entry.file_unit + std::uint64_t{entry.name_length} * entry.name_unit;
  const std::vector<std::uint8_t> table = tables_.text(entry.text + before, entry.table_length);
  if (table.size() != entry.table_length) return 0;
  const auto line = line_of(form_, table, entry.first_line, position(entry, instruction));
  return line && *line > 0 ? static_cast<std::uint32_t>(*line) : 0;
}

}  // namespace memsnap
