#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "report/renderer.h"
#include "report/report.h"

namespace memsnap {

inline constexpr std::size_t kBarWidth = 20;

std::string count_text(std::uint64_t value);  // 4,102,331
std::string bytes_text(std::uint64_t value, Units units);
std::string percent_text(double percent);                             // "37", "<1" for a little, "0" for nothing
std::string duration_text(double seconds);                            // 41 s, 12 m, 3 h 5 m, 3d 4h
std::string cell_text(const Cell& cell, CellKind kind, Units units);  // printable: safe to show
std::string bar_text(double share, bool ascii);                       // at most kBarWidth columns wide
double percent_of(std::uint64_t part, std::uint64_t whole);

// At most `columns` wide: the middle is left out, so that both ends stay readable. `text` is printable already.
std::string cut_middle(std::string_view text, std::size_t columns, bool ascii);
std::string padded_left(std::string_view text, std::size_t columns);
std::string padded_right(std::string_view text, std::size_t columns);
std::string emphasised(std::string_view text, Emphasis emphasis, bool color);

// A piece of a line after its value became text.
struct Piece {
  std::string text;
  bool may_be_cut = false;
  Emphasis emphasis = Emphasis::kNone;
};
// Cuts the longest pieces that may be cut until the line is `columns` wide (0: never).
void fit(std::vector<Piece>& pieces, std::size_t columns, bool ascii);
std::string joined(const std::vector<Piece>& pieces, bool color);
std::vector<Piece> pieces_of(const Line& line, Units units);

}  // namespace memsnap
