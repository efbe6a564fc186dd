#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "attach/base/printable.h"
#include "report/renderer.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::string_view kGap = "  ";

void write_lines(const std::vector<Line>& lines, const TextStyle& style, std::ostream& out) {
  for (const Line& line : lines) {
    std::vector<Piece> pieces = pieces_of(line, style.units);
    fit(pieces, static_cast<std::size_t>(style.width), style.ascii);
    out << joined(pieces, style.color) << '\n';
  }
}

bool is_number(CellKind kind) {
  return kind == CellKind::kNumber || kind == CellKind::kCount || kind == CellKind::kBytes ||
         kind == CellKind::kPercent || kind == CellKind::kChange || kind == CellKind::kGrowth;
}

// The cells of a table as text, and how wide each column has to be.
class TableLayout {
 public:
  TableLayout(const Table& table, const TextStyle& style) : table_(table), style_(style) {
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (!table.columns[i].machines_only) shown_.push_back(i);
    }
    for (const std::size_t column : shown_) widths_.push_back(display_width(table.columns[column].title));
    for (const auto& row : table.rows) {
      std::vector<std::string> texts;
      for (std::size_t i = 0; i < shown_.size(); ++i) {
        const auto* const share = kind(i) == CellKind::kBar ? std::get_if<double>(&row[shown_[i]]) : nullptr;
        texts.push_back(share != nullptr ? bar_text(*share, style.ascii)
                                         : cell_text(row[shown_[i]], kind(i), style.units));
        widths_[i] = std::max(widths_[i], display_width(texts.back()));
      }
      rows_.push_back(std::move(texts));
    }
    shrink();
  }

  void write(std::ostream& out) const {
    std::vector<std::string> titles;
    for (const std::size_t column : shown_) titles.push_back(table_.columns[column].title);
    out << emphasised(line_of(titles), Emphasis::kStrong, style_.color) << '\n';
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const Emphasis emphasis = i < table_.emphasis.size() ? table_.emphasis[i] : Emphasis::kNone;
      out << emphasised(line_of(rows_[i]), emphasis, style_.color) << '\n';
    }
  }

 private:
  CellKind kind(std::size_t shown) const { return table_.columns[shown_[shown]].kind; }

  // One row is one line, and numbers are never cut: the widest column of names gives way.
  void shrink() {
    if (style_.width == 0 || widths_.empty()) return;
    std::size_t total = 1 + kGap.size() * (widths_.size() - 1);
    for (const std::size_t width : widths_) total += width;
    const auto limit = static_cast<std::size_t>(style_.width);
    while (total > limit) {
      std::size_t widest = widths_.size();
      for (std::size_t i = 0; i < widths_.size(); ++i) {
        if (kind(i) != CellKind::kName && kind(i) != CellKind::kTypeName) continue;
        if (widest == widths_.size() || widths_[i] > widths_[widest]) widest = i;
      }
      if (widest == widths_.size()) return;
      const std::size_t least = std::max<std::size_t>(8, display_width(table_.columns[shown_[widest]].title));
      if (widths_[widest] <= least) return;
      const std::size_t excess = std::min(total - limit, widths_[widest] - least);
      widths_[widest] -= excess;
      total -= excess;
    }
  }

  std::string line_of(const std::vector<std::string>& texts) const {
    std::string line = " ";
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (i != 0) line += kGap;
      if (is_number(kind(i))) {
        line += padded_left(texts[i], widths_[i]);
      } else {
        const std::string text = cut_middle(texts[i], widths_[i], style_.ascii);
        line += i + 1 == texts.size() ? text : padded_right(text, widths_[i]);
      }
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }

  const Table& table_;
  const TextStyle& style_;
  std::vector<std::size_t> shown_;  // columns that people see
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

// Draws one tree; the branches to the left of a line are its prefix.
class TreeLayout {
 public:
  TreeLayout(const Tree& tree, const TextStyle& style, std::ostream& out) : tree_(tree), style_(style), out_(out) {}

  void write() const {
    for (const TreeNode& root : tree_.roots) {
      write_line(" ", root);
      write_children(" ", root);
    }
    write_hidden(" ", tree_.hidden_count, tree_.hidden_retained);
  }

 private:
  void write_children(const std::string& prefix, const TreeNode& node) const {
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      const bool last = i + 1 == node.children.size();
      const TreeNode& child = node.children[i];
      write_line(prefix + (style_.ascii ? (last ? "`- " : "|- ") : (last ? "└─ " : "├─ ")), child);
      write_children(prefix + (last ? "   " : style_.ascii ? "|  " : "│  "), child);
    }
    write_hidden(prefix, node.hidden_count, node.hidden_retained);
  }

  void write_hidden(const std::string& prefix, std::uint64_t count, std::uint64_t bytes) const {
    if (count == 0) return;
    out_ << prefix
         << emphasised(fmt::format("({} smaller, {})", count_text(count), bytes_text(bytes, style_.units)),
                       Emphasis::kFaint, style_.color)
         << '\n';
  }

  void write_line(const std::string& prefix, const TreeNode& node) const {
    std::vector<Piece> pieces;
    pieces.push_back({prefix, false, Emphasis::kFaint});
    pieces.push_back({fmt::format("{} {:>3} %  ", padded_left(bytes_text(node.retained, style_.units), 9),
                                  percent_text(percent_of(node.retained, tree_.total))),
                      false, Emphasis::kNone});
    pieces.push_back({cell_text(node.label, CellKind::kName, style_.units), true, Emphasis::kStrong});
    if (!node.type.empty()) {
      pieces.push_back({node.folded ? fmt::format("  {} x ", count_text(node.count)) : "  ", false, Emphasis::kNone});
      pieces.push_back({cell_text(node.type, CellKind::kTypeName, style_.units), true, Emphasis::kNone});
    }
    if (!node.note.empty()) {
      pieces.push_back({"  ", false, Emphasis::kNone});
      pieces.push_back({cell_text(node.note, CellKind::kName, style_.units), true, Emphasis::kFaint});
    }
    fit(pieces, static_cast<std::size_t>(style_.width), style_.ascii);
    out_ << joined(pieces, style_.color) << '\n';
  }

  const Tree& tree_;
  const TextStyle& style_;
  std::ostream& out_;
};

}  // namespace

void TextRenderer::render(const Report& report, std::ostream& out) const {
  write_lines(report.headline, style_, out);
  if (report.table && !report.table->columns.empty()) {
    if (!report.headline.empty()) out << '\n';
    TableLayout(*report.table, style_).write(out);
  }
  write_lines(report.between, style_, out);
  if (report.tree) {
    if (report.table || !report.headline.empty()) out << '\n';
    TreeLayout(*report.tree, style_, out).write();
  }
  write_lines(report.footer, style_, out);
}

}  // namespace memsnap
