#include "snapshot/cpython/code_reader.h"

#include <span>

namespace memsnap {
namespace {

constexpr std::size_t kMaxFunction = 256;
constexpr std::size_t kMaxFile = 1024;
constexpr std::uint64_t kMaxLineTable = 4u << 20;

LineTableForm form_of(const PyVersion& version) {
  if (version.at_least(3, 11)) return LineTableForm::kLocations;
  return version.at_least(3, 10) ? LineTableForm::kRanges : LineTableForm::kLnotab;
}

}  // namespace

CodeReader::CodeReader(const ProcessMemory& memory, const PythonProcess& python)
    : memory_(memory),
      python_(python),
      reader_(memory, python.layout),
      form_(form_of(PyVersion(python.layout.since))) {}

const CodeInfo* CodeReader::find(std::uint64_t code) {
  const auto known = known_.find(code);
  const auto& info = known != known_.end() ? known->second : known_.emplace(code, read(code)).first->second;
  return info ? &*info : nullptr;
}

std::optional<CodeInfo> CodeReader::read(std::uint64_t code) const {
  const HeapLayout::Code& layout = python_.layout.code;
  const auto type = reader_.type_of(code);
  if (!type || type != python_.type("PyCode_Type")) return std::nullopt;
  const auto name = memory_.try_read<std::uint64_t>(code + layout.co_name);
  const auto file = memory_.try_read<std::uint64_t>(code + layout.co_filename);
  const auto table = memory_.try_read<std::uint64_t>(code + layout.co_linetable);
  const auto first_line = memory_.try_read<std::int32_t>(code + layout.co_firstlineno);
  if (!name || !file || !table || !first_line) return std::nullopt;
  return CodeInfo{.function = reader_.text(*name, kMaxFunction).value_or("?"),
                  .file = reader_.text(*file, kMaxFile).value_or("?"),
                  .first_line = *first_line,
                  .line_table = read_bytes(*table)};
}

std::optional<std::vector<std::uint8_t>> CodeReader::read_bytes(std::uint64_t object) const {
  const auto size = memory_.try_read<std::uint64_t>(object + python_.layout.object.ob_size);
  if (!size || *size > kMaxLineTable || !reader_.is(object, kFlagBytes)) return std::nullopt;
  std::vector<std::uint8_t> bytes(*size);
  if (!memory_.copy(object + python_.layout.sequence.bytes_data, std::as_writable_bytes(std::span(bytes))))
    return std::nullopt;
  return bytes;
}

std::optional<std::int64_t> CodeReader::position(const RunningFrame& frame) const {
  const HeapLayout& layout = python_.layout;
  if (layout.frame.size != 0) {
    const auto at = memory_.try_read<std::uint64_t>(frame.address + layout.frame.instr);
    if (!at) return std::nullopt;
    return static_cast<std::int64_t>(*at - (frame.code + layout.code.co_code_adaptive));
  }
  const auto last = memory_.try_read<std::int32_t>(frame.address + layout.frame_object.f_lasti);
  if (!last) return std::nullopt;
  return std::int64_t{*last} * (form_ == LineTableForm::kRanges ? 2 : 1);  // 3.10 counts instructions
}

std::optional<std::int32_t> CodeReader::line(const RunningFrame& frame) {
  const CodeInfo* const info = find(frame.code);
  if (info == nullptr || !info->line_table) return std::nullopt;
  const auto at = position(frame);
  return at ? line_of(form_, *info->line_table, info->first_line, *at) : std::nullopt;
}

}  // namespace memsnap
