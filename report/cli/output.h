#pragma once

#include <string>
#include <string_view>

#include "report/cli/terminal.h"
#include "report/renderer.h"
#include "report/report.h"

namespace memsnap {

enum class Format { kText, kJson, kJsonLines, kCsv };

struct OutputOptions {
  Format format = Format::kText;
  TextStyle style;
  Terminal terminal;
  std::string pager;               // a shell command; empty: none
  bool pager_is_confined = false;  // it gets no environment
};

// The reader of standard output went away: nobody is to be told.
struct OutputClosed {};

// Where results go. Throws Error kCannotWrite, or OutputClosed.
class Output {
 public:
  Output(int fd, OutputOptions options) : fd_(fd), options_(std::move(options)) {}

  Format format() const { return options_.format; }
  const TextStyle& style() const { return options_.style; }
  void write(const Report& report);       // in the chosen format; on a terminal through the pager
  void clear_screen();                    // of a terminal; nothing elsewhere
  void write_now(const Report& report);   // without the pager: more is to come, and it shall not wait for anybody
  void write_line(const Report& report);  // as one JSON object on one line
  // One of several results: with --jsonl a line of its own, else as write().
  void write_one(const Report& report);
  void write_text(std::string_view text);  // as it is, through the pager too
  // To a file instead, uncut and uncoloured: written beside it and renamed. An existing one is replaced if `force`.
  void write_file(const Report& report, const std::string& path, bool force);
  static void write_text_file(std::string_view text, const std::string& path, bool force);

 private:
  std::string rendered(const Report& report, const TextStyle& style) const;
  void write_all(std::string_view text);
  bool write_paged(std::string_view text);  // false: no pager wanted, needed, or found

  int fd_;
  OutputOptions options_;
};

}  // namespace memsnap
