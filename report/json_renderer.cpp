#include <ostream>
#include <string_view>

#include "report/json_output.h"
#include "report/renderer.h"

namespace memsnap {
namespace {

void write_cell(JsonOutput& json, std::string_view key, const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) {
    json.member(key, *text);
    return;
  }
  json.key(key);
  if (const auto* whole = std::get_if<std::uint64_t>(&cell)) {
    json.number(*whole);
  } else if (const auto* change = std::get_if<std::int64_t>(&cell)) {
    json.number(*change);
  } else if (const auto* real = std::get_if<double>(&cell)) {
    json.number(*real);
  } else {
    json.null();
  }
}

// Neighbours "old.count" and "old.size" become one object "old".
void write_row(JsonOutput& json, const Table& table, const std::vector<Cell>& row) {
  std::string_view open;
  for (const std::size_t column : table.machine_columns) {
    const std::string_view key = table.columns[column].key;
    const std::size_t dot = key.find('.');
    const std::string_view group = dot == std::string_view::npos ? std::string_view() : key.substr(0, dot);
    if (group != open) {
      if (!open.empty()) json.end_object();
      if (!group.empty()) {
        json.key(group);
        json.begin_object();
      }
      open = group;
    }
    write_cell(json, group.empty() ? key : key.substr(dot + 1), row[column]);
  }
  if (!open.empty()) json.end_object();
}

// Everything of a node but its children.
void write_node_members(JsonOutput& json, const TreeNode& node, bool is_call) {
  if (is_call) {
    json.member("function", node.label);
    json.member("file", node.file);
    json.member("line", std::uint64_t{node.line});
    json.member("own", node.size);
    json.member("total", node.retained);
    json.member("count", node.count);
  } else {
    json.member("name", node.label);
    json.member("type", node.type);
    json.member("count", node.count);
    json.member("size", node.size);
    json.member("retained", node.retained);
    if (!node.note.empty()) json.member("note", node.note);
  }
  if (node.hidden_count != 0) {
    json.key("hidden");
    json.begin_object();
    json.member("count", node.hidden_count);
    json.member(is_call ? "total" : "retained", node.hidden_retained);
    json.end_object();
  }
}

void write_node(JsonOutput& json, const TreeNode& node, bool is_call) {
  json.begin_object();
  write_node_members(json, node, is_call);
  json.key("children");
  json.begin_array();
  for (const TreeNode& child : node.children) write_node(json, child, is_call);
  json.end_array();
  json.end_object();
}

// Depth first; `next_id` numbers the lines, so that a reader can put the tree together again.
void write_node_lines(std::ostream& out, const TreeNode& node, bool is_call, std::uint64_t parent,
                      std::uint64_t& next_id) {
  const std::uint64_t id = ++next_id;
  JsonOutput json(out);
  json.begin_object();
  json.member("kind", std::string_view(is_call ? "call" : "node"));
  json.member("id", id);
  json.member("parent", parent);
  write_node_members(json, node, is_call);
  json.end_object();
  out << '\n';
  for (const TreeNode& child : node.children) write_node_lines(out, child, is_call, id, next_id);
}

}  // namespace

void JsonRenderer::render(const Report& report, std::ostream& out) const {
  JsonOutput json(out);
  json.begin_object();
  json.member("schema", report.schema);
  json.members(report.facts);
  if (report.table) {
    json.key(report.table->key);
    json.begin_array();
    for (const auto& row : report.table->rows) {
      json.begin_object();
      write_row(json, *report.table, row);
      json.end_object();
    }
    json.end_array();
  }
  if (report.tree) {
    json.key(report.tree->key);
    json.begin_array();
    for (const TreeNode& root : report.tree->roots) write_node(json, root, report.tree->of_calls);
    json.end_array();
  }
  json.end_object();
  out << '\n';
}

void JsonLinesRenderer::render(const Report& report, std::ostream& out) const {
  JsonOutput header(out);
  header.begin_object();
  header.member("schema", report.schema);
  header.member("kind", std::string_view("header"));
  header.members(report.facts);
  header.end_object();
  out << '\n';
  if (report.table) {
    for (const auto& row : report.table->rows) {
      JsonOutput json(out);
      json.begin_object();
      json.member("kind", report.table->row_kind);
      write_row(json, *report.table, row);
      json.end_object();
      out << '\n';
    }
  }
  if (report.tree) {
    std::uint64_t next_id = 0;
    for (const TreeNode& root : report.tree->roots) write_node_lines(out, root, report.tree->of_calls, 0, next_id);
  }
}

}  // namespace memsnap
