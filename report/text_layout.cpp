#include "report/text_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "attach/base/printable.h"
#include "report/json_output.h"

namespace memsnap {
namespace {

constexpr std::size_t kLeastName = 8;  // a name cut shorter than this says nothing

std::string_view without_builtins(std::string_view type) {
  constexpr std::string_view kPrefix = "builtins.";
  return type.starts_with(kPrefix) ? type.substr(kPrefix.size()) : type;
}

// The longest beginning of `text` that is at most `columns` wide.
std::string_view head(std::string_view text, std::size_t columns) {
  std::size_t taken = 0;
  std::size_t width = 0;
  while (taken < text.size()) {
    const std::size_t length = std::max<std::size_t>(1, utf8_sequence_length(text.substr(taken)));
    width += display_width(text.substr(taken, length));
    if (width > columns) break;
    taken += length;
  }
  return text.substr(0, taken);
}

std::string_view tail(std::string_view text, std::size_t columns) {
  std::size_t from = 0;
  std::size_t width = display_width(text);
  while (from < text.size() && width > columns) {
    const std::size_t length = std::max<std::size_t>(1, utf8_sequence_length(text.substr(from)));
    width -= display_width(text.substr(from, length));
    from += length;
  }
  return text.substr(from);
}

std::string scaled(std::uint64_t value, double base, const std::array<std::string_view, 7>& units) {
  auto scaled_value = static_cast<double>(value);
  std::size_t unit = 0;
  // 1023.96 KiB would print as 1024.0 KiB: it goes up a unit.
  while (unit + 1 < units.size() && scaled_value >= base - (unit == 0 ? 0 : 0.05)) {
    scaled_value /= base;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", value);
  return fmt::format("{:.{}f} {}", scaled_value, unit >= 3 ? 2 : 1, units[unit]);
}

}  // namespace

std::string count_text(std::uint64_t value) {
  std::string digits = fmt::to_string(value);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string bytes_text(std::uint64_t value, Units units) {
  switch (units) {
    case Units::kIec:
      return scaled(value, 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"});
    case Units::kSi:
      return scaled(value, 1000, {"B", "kB", "MB", "GB", "TB", "PB", "EB"});
    case Units::kBytes:
      break;
  }
  return fmt::to_string(value);
}

std::string percent_text(double percent) {
  if (!std::isfinite(percent)) return "-";
  if (percent > 0 && percent < 0.5) return "<1";
  return fmt::format("{:.0f}", percent);
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "?";
  const auto whole = static_cast<std::uint64_t>(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min", whole / 60);
  if (whole < 86400) return fmt::format("{}h {}m", whole / 3600, whole % 3600 / 60);
  return fmt::format("{}d {}h", whole / 86400, whole % 86400 / 3600);
}

std::string cell_text(const Cell& cell, CellKind kind, Units units) {
  if (const auto* text = std::get_if<std::string>(&cell)) {
    return printable(kind == CellKind::kTypeName ? without_builtins(*text) : std::string_view(*text));
  }
  if (const auto* whole = std::get_if<std::uint64_t>(&cell)) {
    if (kind == CellKind::kNumber) return fmt::to_string(*whole);
    return kind == CellKind::kBytes ? bytes_text(*whole, units) : count_text(*whole);
  }
  if (const auto* change = std::get_if<std::int64_t>(&cell)) {
    if (kind == CellKind::kNumber) return fmt::to_string(*change);
    const auto amount = *change < 0 ? 0 - static_cast<std::uint64_t>(*change) : static_cast<std::uint64_t>(*change);
    const char* const sign = *change < 0 ? "-" : *change > 0 ? "+" : "";
    return sign + (kind == CellKind::kGrowth ? bytes_text(amount, units) : count_text(amount));
  }
  if (const auto* real = std::get_if<double>(&cell)) {
    return kind == CellKind::kPercent ? percent_text(*real) : fmt::format("{:.1f}", *real);
  }
  return "-";
}

std::string bar_text(double share, bool ascii) {
  constexpr std::array<std::string_view, 8> kEighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (!(share > 0)) return "";
  const double columns = std::min(share, 1.0) * static_cast<double>(kBarWidth);
  std::string bar;
  if (ascii) {
    bar.assign(std::max<std::size_t>(1, static_cast<std::size_t>(std::lround(columns))), '#');
    return bar;
  }
  const auto eighths = std::max<std::size_t>(1, static_cast<std::size_t>(std::lround(columns * 8)));
  for (std::size_t i = 0; i < eighths / 8; ++i) bar += "█";
  return bar += kEighths.at(eighths % 8);
}

double percent_of(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string cut_middle(std::string_view text, std::size_t columns, bool ascii) {
  if (display_width(text) <= columns) return std::string(text);
  const std::string_view gap = ascii ? "..." : "…";
  const std::size_t gap_width = ascii ? 3 : 1;
  if (columns <= gap_width) return std::string(head(text, columns));
  const std::string_view left = head(text, (columns - gap_width) / 2);
  return fmt::format("{}{}{}", left, gap, tail(text, columns - gap_width - display_width(left)));
}

std::string padded_left(std::string_view text, std::size_t columns) {
  const std::size_t width = display_width(text);
  return std::string(columns > width ? columns - width : 0, ' ') + std::string(text);
}

std::string padded_right(std::string_view text, std::size_t columns) {
  const std::size_t width = display_width(text);
  return std::string(text) + std::string(columns > width ? columns - width : 0, ' ');
}

std::string emphasised(std::string_view text, Emphasis emphasis, bool color) {
  if (!color || emphasis == Emphasis::kNone) return std::string(text);
  constexpr std::array<int, 6> kCodes{0, 1, 2, 32, 33, 31};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<std::size_t>(emphasis)], text);
}

void fit(std::vector<Piece>& pieces, std::size_t columns, bool ascii) {
  if (columns == 0) return;
  std::size_t total = 0;
  for (const Piece& piece : pieces) total += display_width(piece.text);
  while (total > columns) {
    Piece* longest = nullptr;
    for (Piece& piece : pieces) {
      if (piece.may_be_cut && (longest == nullptr || display_width(piece.text) > display_width(longest->text))) {
        longest = &piece;
      }
    }
    if (longest == nullptr) return;
    longest->may_be_cut = false;
    const std::size_t before = display_width(longest->text);
    if (before <= kLeastName) return;
    const std::size_t excess = total - columns;
    longest->text = cut_middle(longest->text, before > excess + kLeastName ? before - excess : kLeastName, ascii);
    total -= before - display_width(longest->text);
  }
}

std::string joined(const std::vector<Piece>& pieces, bool color) {
  std::string line;
  for (const Piece& piece : pieces) line += emphasised(piece.text, piece.emphasis, color);
  return line;
}

std::vector<Piece> pieces_of(const Line& line, Units units) {
  std::vector<Piece> pieces;
  for (const Span& span : line.spans()) {
    pieces.push_back({cell_text(span.cell, span.kind, units),
                      span.kind == CellKind::kName || span.kind == CellKind::kTypeName, span.emphasis});
  }
  return pieces;
}

}  // namespace memsnap
