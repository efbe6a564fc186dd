#include "inject/control/unwind_rules.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string_view>

#include "inject/control/unwind_program.h"

// The format is that of the Linux Standard Base, "Exception Frames".
namespace memsnap {
namespace {

constexpr std::uint64_t kReturn = 16;  // DWARF's number of the return address
constexpr std::size_t kMostRows = 16u << 20;

// DW_EH_PE_: how a pointer is written. Empty: in a way that no table in memory has, or not at all.
std::optional<std::uint64_t> encoded_pointer(Cursor& cursor, std::uint8_t encoding, bool relative = true) {
  constexpr std::uint8_t kOmit = 0xff;
  constexpr std::uint8_t kIndirect = 0x80;
  constexpr std::uint8_t kToItself = 0x10;
  const std::uint64_t place = cursor.address();
  std::uint64_t value = 0;
  if (encoding == kOmit) return std::nullopt;
  switch (encoding & 0x0f) {
    case 0x00:  // absptr
    case 0x04:
    case 0x0c:
      value = cursor.get<std::uint64_t>();
      break;
    case 0x01:
      value = cursor.unsigned_number();
      break;
    case 0x02:
      value = cursor.get<std::uint16_t>();
      break;
    case 0x03:
      value = cursor.get<std::uint32_t>();
      break;
    case 0x09:
      value = static_cast<std::uint64_t>(cursor.signed_number());
      break;
    case 0x0a:
      value = static_cast<std::uint64_t>(std::int64_t{cursor.get<std::int16_t>()});
      break;
    case 0x0b:
      value = static_cast<std::uint64_t>(std::int64_t{cursor.get<std::int32_t>()});
      break;
    default:
      return std::nullopt;
  }
  if (cursor.failed()) return std::nullopt;
  if (!relative) return value;
  if ((encoding & kIndirect) != 0) return std::nullopt;
  if ((encoding & 0x70) == kToItself) return value + place;
  return (encoding & 0x70) == 0 ? std::optional(value) : std::nullopt;
}

struct Function {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::size_t row = 0;  // the first of its rows
  std::size_t rows = 0;
};

class Compiler {
 public:
  explicit Compiler(const UnwindTables& tables) : tables_(tables) {}

  UnwindRows run() {
    Cursor all(tables_.bytes, tables_.address);
    while (!all.at_end() && rows_.size() < kMostRows) {
      const std::uint64_t address = all.address();
      const auto length = all.get<std::uint32_t>();
      constexpr std::uint32_t kExtended = 0xffffffff;
      if (length == 0 || length == kExtended) break;
      Cursor entry = all.part(length);
      if (all.failed()) break;
      const std::uint64_t id_at = entry.address();
      const auto id = entry.get<std::uint32_t>();
      if (entry.failed()) break;
      if (id == 0) {
        common_[address] = read_common(entry);
      } else if (const auto found = common_.find(id_at - id); found != common_.end() && found->second.usable) {
        read_function(entry, found->second);
      }
    }
    return assembled();
  }

 private:
  UnwindCommon read_common(Cursor& entry) {
    UnwindCommon common;
    const auto version = entry.get<std::uint8_t>();
    const std::string_view augmentation = entry.text();
    common.code_factor = entry.unsigned_number();
    common.data_factor = entry.signed_number();
    const std::uint64_t back = version == 1 ? entry.get<std::uint8_t>() : entry.unsigned_number();
    const bool plain = augmentation.empty();
    if (entry.failed() || (version != 1 && version != 3) || back != kReturn || (!plain && augmentation.front() != 'z'))
      return common;
    if (!plain) {
      common.has_augmentation = true;
      Cursor data = entry.part(entry.unsigned_number());
      if (!read_augmentation(augmentation.substr(1), data, common)) return common;
    }
    UnwindProgram program(common);
    while (program.advance(entry)) {
    }
    common.initial = program.state();
    common.usable = program.understood() && !entry.failed();
    return common;
  }

  static bool read_augmentation(std::string_view letters, Cursor& data, UnwindCommon& common) {
    for (const char letter : letters) {
      if (letter == 'R') {
        common.encoding = data.get<std::uint8_t>();
      } else if (letter == 'L') {
        data.get<std::uint8_t>();
      } else if (letter == 'P') {
        const auto encoding = data.get<std::uint8_t>();
        if (!encoded_pointer(data, encoding, false)) return false;
      } else if (letter == 'S') {
        common.signal = true;
      } else if (letter != 'B') {
        return false;
      }
    }
    return !data.failed();
  }

  void read_function(Cursor& entry, const UnwindCommon& common) {
    const auto begin = encoded_pointer(entry, common.encoding);
    const auto size = encoded_pointer(entry, common.encoding, false);
    if (!begin || !size || *size == 0 || *begin < tables_.begin || *begin >= tables_.end ||
        *size > tables_.end - *begin) {
      return;
    }
    if (common.has_augmentation) entry.part(entry.unsigned_number());
    if (entry.failed()) return;
    Function function{.begin = *begin, .end = *begin + *size, .row = rows_.size()};
    add_rows(entry, common, function);
    function.rows = rows_.size() - function.row;
    functions_.push_back(function);
  }

  void add_rows(Cursor& entry, const UnwindCommon& common, const Function& function) {
    const auto offset_of = [&](std::uint64_t location) {
      return static_cast<std::uint32_t>(function.begin + location - tables_.begin);
    };
    const std::uint32_t unknown = packed({.kind = UnwindKind::kUnknown});
    if (common.signal) {
      rows_.push_back({offset_of(0), unknown});
      return;
    }
    UnwindProgram program(common);
    const std::uint64_t size = function.end - function.begin;
    for (std::uint64_t from = 0;;) {
      const bool more = program.advance(entry);
      const std::uint64_t next = program.location();
      // The state is that from `from` on: an advance comes after what changed there.
      const bool sound = program.understood() && !entry.failed() && next >= from;
      add_row(offset_of(from), sound ? packed(rule_of(program.state())) : unknown, function.row);
      if (!more || !sound || next >= size || rows_.size() >= kMostRows) return;
      from = next;
    }
  }

  void add_row(std::uint32_t offset, std::uint32_t rule, std::size_t first) {
    if (rows_.size() > first && rows_.back().offset == offset) {
      rows_.back().rule = rule;
    } else if (rows_.size() == first || rows_.back().rule != rule) {
      rows_.push_back({offset, rule});
    }
  }

  // Functions that overlap others are left out.
  UnwindRows assembled() {
    UnwindRows result;
    std::stable_sort(functions_.begin(), functions_.end(),
                     [](const Function& a, const Function& b) { return a.begin < b.begin; });
    std::uint64_t end = tables_.begin;
    const auto put = [&](std::uint32_t offset, std::uint32_t rule) {
      if (!result.rows.empty() && result.rows.back().rule == rule) return;
      result.rows.push_back({offset, rule});
    };
    result.rows.reserve(rows_.size());
    for (const Function& function : functions_) {
      if (function.begin < end) continue;
      if (function.begin > end) put(static_cast<std::uint32_t>(end - tables_.begin), 0);
      for (std::size_t i = 0; i < function.rows; ++i) put(rows_[function.row + i].offset, rows_[function.row + i].rule);
      result.functions.push_back({function.begin, function.end});
      end = function.end;
    }
    if (!result.rows.empty() && end < tables_.end) put(static_cast<std::uint32_t>(end - tables_.begin), 0);
    return result;
  }

  UnwindTables tables_;
  std::map<std::uint64_t, UnwindCommon> common_;
  std::vector<AgentRule> rows_;
  std::vector<Function> functions_;
};

}  // namespace

UnwindRows compile_unwind_rules(const UnwindTables& tables) {
  if (tables.end <= tables.begin || tables.end - tables.begin > std::numeric_limits<std::uint32_t>::max()) return {};
  return Compiler(tables).run();
}

UnwindRule rule_for(const std::vector<AgentRule>& rows, std::uint64_t offset) {
  const auto after = std::upper_bound(rows.begin(), rows.end(), offset,
                                      [](std::uint64_t at, const AgentRule& row) { return at < row.offset; });
  return after == rows.begin() ? UnwindRule{} : unpacked(std::prev(after)->rule);
}

}  // namespace memsnap
