#include "report/profile_table_report.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "report/profile_facts.h"
#include "report/snapshot_facts.h"

namespace memsnap {
namespace {

constexpr std::uint32_t kAny = 0xffffffff;  // the row stands for all of them

struct TableRow {
  FrameIndex frame = kNoFrame;  // kNoFrame: without a stack, or any
  std::uint32_t thread = kAny;
  std::uint32_t allocator = kAny;
  BlockTotals blocks;
  std::uint64_t live = 0;
  std::uint64_t peak = 0;
  std::uint64_t temporary = 0;

  std::uint64_t mean() const { return blocks.count == 0 ? 0 : blocks.bytes / blocks.count; }
};

class TableMaker {
 public:
  TableMaker(const AllocationProfile& profile, const ProfileTableOptions& options)
      : profile_(profile), options_(options) {}

  std::vector<TableRow> rows() const {
    const std::vector<BlockTotals> column = column_of(profile_, options_.measure);
    std::vector<TableRow> rows;
    std::unordered_map<std::uint64_t, std::size_t> known;
    for (std::size_t i = 0; i < profile_.row_count(); ++i) {
      TableRow key;
      if (keeps(TableColumn::kLocation)) key.frame = profile_.call_frame[profile_.row_call[i]];
      if (keeps(TableColumn::kThread)) key.thread = profile_.row_thread[i];
      if (keeps(TableColumn::kAllocator)) key.allocator = profile_.row_allocator[i];
      // A frame takes 32 bits, an allocator 8, and there are fewer threads than 2^24.
      const std::uint64_t packed =
          std::uint64_t{key.frame} << 32 | (key.thread & 0xffffff) << 8 | (key.allocator & 0xff);
      const auto [found, is_new] = known.try_emplace(packed, rows.size());
      if (is_new) rows.push_back(key);
      TableRow& row = rows[found->second];
      row.blocks.count += column[i].count;
      row.blocks.bytes += column[i].bytes;
      row.live += profile_.live[i].bytes;
      row.peak += profile_.peak[i].bytes;
      row.temporary += profile_.temporary[i];
    }
    std::erase_if(rows, [](const TableRow& row) { return row.blocks == BlockTotals{}; });
    sort(rows);
    return rows;
  }

  Table table() const {
    Table table;
    table.key = "rows";
    table.row_kind = "row";
    for (const TableColumn column : options_.columns) add_column(table, column);
    return table;
  }

  std::vector<Cell> cells(const TableRow& row) const {
    std::vector<Cell> cells;
    for (const TableColumn column : options_.columns) {
      if (column != TableColumn::kLocation) {
        cells.push_back(cell(row, column));
        continue;
      }
      const ProfileFrame* const frame = row.frame == kNoFrame ? nullptr : &profile_.frames[row.frame];
      const std::string file = frame == nullptr ? "" : std::string(profile_.strings.text(frame->file));
      const std::uint32_t line = frame == nullptr ? 0 : frame->line;
      cells.emplace_back(function_of(row));
      cells.emplace_back(location_text(file, line));
      cells.emplace_back(file);
      cells.emplace_back(std::uint64_t{line});
    }
    return cells;
  }

 private:
  bool keeps(TableColumn column) const { return !options_.group_by || *options_.group_by == column; }

  void add_column(Table& table, TableColumn column) const {
    struct Form {
      const char* title;
      CellKind kind;
    };
    constexpr std::array<Form, 9> kForms{{{"SIZE", CellKind::kBytes},
                                          {"COUNT", CellKind::kCount},
                                          {"MEAN", CellKind::kBytes},
                                          {"LIVE", CellKind::kBytes},
                                          {"PEAK", CellKind::kBytes},
                                          {"TEMPORARY", CellKind::kCount},
                                          {"ALLOCATOR", CellKind::kText},
                                          {"THREAD", CellKind::kName},
                                          {"LOCATION", CellKind::kName}}};
    const auto number = static_cast<std::size_t>(column);
    const std::size_t at = table.columns.size();
    if (column == TableColumn::kLocation) {
      table.columns.push_back({"function", "LOCATION", CellKind::kName});
      table.columns.push_back({"location", "", CellKind::kName});
      table.columns.push_back({"file", "", CellKind::kText, true});
      table.columns.push_back({"line", "", CellKind::kNumber, true});
      for (const std::size_t machine : {at, at + 2, at + 3}) table.machine_columns.push_back(machine);
      return;
    }
    table.columns.push_back({table_column_names()[number], kForms.at(number).title, kForms.at(number).kind});
    table.machine_columns.push_back(at);
  }

  std::uint64_t number_of(const TableRow& row, TableColumn column) const {
    switch (column) {
      case TableColumn::kSize:
        return row.blocks.bytes;
      case TableColumn::kCount:
        return row.blocks.count;
      case TableColumn::kMean:
        return row.mean();
      case TableColumn::kLive:
        return row.live;
      case TableColumn::kPeak:
        return row.peak;
      case TableColumn::kTemporary:
        return row.temporary;
      default:
        return 0;
    }
  }

  Cell cell(const TableRow& row, TableColumn column) const {
    if (column == TableColumn::kThread || column == TableColumn::kAllocator) return text_of(row, column);
    return number_of(row, column);
  }

  std::string text_of(const TableRow& row, TableColumn column) const {
    if (column == TableColumn::kAllocator) {
      if (row.allocator == kAny) return "any";
      return std::string(profile_.strings.text(profile_.allocators[row.allocator].name));
    }
    if (column == TableColumn::kLocation) return function_of(row);
    if (row.thread == kAny) return "any";
    const ProfileThread& thread = profile_.threads[row.thread];
    return thread_text(profile_.strings.text(thread.name), thread.tid);
  }

  std::string function_of(const TableRow& row) const {
    if (!keeps(TableColumn::kLocation)) return "any";
    if (row.frame == kNoFrame) return std::string(kNoStack);
    const ProfileFrame& frame = profile_.frames[row.frame];
    return std::string(frame.kind == ProfileFrameKind::kCut ? kCutStack : profile_.strings.text(frame.function));
  }

  void sort(std::vector<TableRow>& rows) const {
    const TableColumn by = options_.sort;
    const auto by_text = [&](const TableRow& row) { return by < TableColumn::kAllocator ? "" : text_of(row, by); };
    const auto rest = [](const TableRow& row) { return std::tie(row.frame, row.thread, row.allocator); };
    std::sort(rows.begin(), rows.end(), [&](const TableRow& a, const TableRow& b) {
      const std::uint64_t first = number_of(a, by);
      const std::uint64_t second = number_of(b, by);
      if (first != second) return first > second;
      return std::make_tuple(by_text(a), b.blocks.bytes, rest(a)) <
             std::make_tuple(by_text(b), a.blocks.bytes, rest(b));
    });
  }

  const AllocationProfile& profile_;
  const ProfileTableOptions& options_;
};

}  // namespace

Report make_profile_table(const Snapshot& snapshot, const ProfileTableOptions& options) {
  const AllocationProfile& profile = *snapshot.profile;
  const TableMaker maker(profile, options);
  Report report;
  report.schema = "memsnap.table/1";
  report.facts = {{"of", {"allocations"}},
                  {"measure", {measure_name(options.measure)}},
                  {"target", {target_facts(snapshot.header.target)}},
                  {"capture", {profile_facts(profile)}}};
  report.headline = profile_headline(snapshot.header, profile);
  report.headline.push_back(Line().text("shown: " + measure_sentence(options.measure)));
  const std::vector<TableRow> rows = maker.rows();
  Table table = maker.table();
  std::uint64_t hidden_bytes = 0;
  for (const TableRow& row : rows) {
    if (options.rows != 0 && table.rows.size() == options.rows) {
      hidden_bytes += row.blocks.bytes;
      continue;
    }
    table.rows.push_back(maker.cells(row));
  }
  const std::uint64_t hidden = rows.size() - table.rows.size();
  report.facts.push_back({"hidden", {FactObject{{"count", {hidden}}, {"bytes", {hidden_bytes}}}}});
  if (hidden != 0) {
    Line line;
    line.text(" + ").count(hidden).text(hidden == 1 ? " more row: " : " more rows: ").bytes(hidden_bytes);
    report.between.push_back(line.text("      -n 0 shows all"));
  }
  report.table = std::move(table);
  return report;
}

}  // namespace memsnap
