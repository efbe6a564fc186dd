#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>

#include "report/report.h"

namespace memsnap {

enum class Units : std::uint8_t { kIec, kSi, kBytes };

// What the place that text goes to can show.
struct TextStyle {
  int width = 0;  // columns; 0: nothing is cut
  bool color = false;
  bool ascii = false;  // no characters beyond ASCII of our own making
  Units units = Units::kIec;
};

// Report in, text out: same report, same bytes.
class Renderer {
 public:
  virtual ~Renderer() = default;
  virtual void render(const Report& report, std::ostream& out) const = 0;
};

// For people. Every text passes the one function that makes it harmless to a terminal.
class TextRenderer final : public Renderer {
 public:
  explicit TextRenderer(const TextStyle& style) : style_(style) {}
  void render(const Report& report, std::ostream& out) const override;

 private:
  TextStyle style_;
};

// One document on one line.
class JsonRenderer final : public Renderer {
 public:
  void render(const Report& report, std::ostream& out) const override;
};

// A header line with the facts, then one line a row or tree node; {"kind":...} says which.
class JsonLinesRenderer final : public Renderer {
 public:
  void render(const Report& report, std::ostream& out) const override;
};

// The table, or the tree as rows with their depth: RFC 4180 with a header. Text in it is escaped as for a terminal.
class CsvRenderer final : public Renderer {
 public:
  void render(const Report& report, std::ostream& out) const override;
};

}  // namespace memsnap
