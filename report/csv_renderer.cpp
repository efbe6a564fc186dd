#include <fmt/format.h>

#include <ostream>
#include <string>
#include <string_view>

#include "attach/base/printable.h"
#include "report/renderer.h"

namespace memsnap {
namespace {

// RFC 4180 has no control characters in a field, and a spreadsheet or terminal may act on them: they are written out.
std::string field(std::string_view text) {
  std::string plain = printable(text);
  if (plain.find_first_of(",\"\r\n") == std::string::npos) return plain;
  std::string quoted = "\"";
  for (const char c : plain) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string field(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return field(std::string_view(*text));
  if (const auto* whole = std::get_if<std::uint64_t>(&cell)) return fmt::to_string(*whole);
  if (const auto* change = std::get_if<std::int64_t>(&cell)) return fmt::to_string(*change);
  if (const auto* real = std::get_if<double>(&cell)) return fmt::format("{}", *real);
  return {};
}

void write_table(const Table& table, std::ostream& out) {
  std::string_view separator;
  for (const std::size_t column : table.machine_columns) {
    out << separator << field(std::string_view(table.columns[column].key));
    separator = ",";
  }
  out << "\r\n";
  for (const auto& row : table.rows) {
    separator = {};
    for (const std::size_t column : table.machine_columns) {
      out << separator << field(row[column]);
      separator = ",";
    }
    out << "\r\n";
  }
}

void write_node(const TreeNode& node, int depth, std::ostream& out) {
  out << fmt::format("{},{},{},{},{},{}\r\n", depth, field(std::string_view(node.label)),
                     field(std::string_view(node.type)), node.count, node.size, node.retained);
  for (const TreeNode& child : node.children) write_node(child, depth + 1, out);
}

void write_call(const TreeNode& node, int depth, std::ostream& out) {
  out << fmt::format("{},{},{},{},{},{},{}\r\n", depth, field(std::string_view(node.label)),
                     field(std::string_view(node.file)), node.line, node.size, node.retained, node.count);
  for (const TreeNode& child : node.children) write_call(child, depth + 1, out);
}

}  // namespace

void CsvRenderer::render(const Report& report, std::ostream& out) const {
  if (report.table) write_table(*report.table, out);
  if (!report.tree || report.table) return;  // two tables in one file are none
  if (report.tree->of_calls) {
    out << "depth,function,file,line,own,total,count\r\n";
    for (const TreeNode& root : report.tree->roots) write_call(root, 0, out);
    return;
  }
  out << "depth,name,type,count,size,retained\r\n";
  for (const TreeNode& root : report.tree->roots) write_node(root, 0, out);
}

}  // namespace memsnap
