#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/report.h"

namespace memsnap {

// A line of `memsnap ps`.
struct ProcessRow {
  std::int64_t pid = 0;
  std::string user;
  std::string python;  // "3.12.1", "3.13t"; empty: not known
  std::uint64_t rss = 0;
  double age_seconds = 0;
  std::uint64_t threads = 0;
  std::string attach;  // "ok", "root only", "no: traced"
  std::string reason;  // why not, in full
  std::string container;
  std::string name;
  std::string command_line;
};
Report make_process_list(const std::vector<ProcessRow>& rows);  // memsnap.ps/1, in the order given

enum class Verdict : std::uint8_t { kOk, kNote, kWarning, kBad };

// A line of `memsnap doctor`.
struct Check {
  Verdict verdict = Verdict::kOk;
  std::string id;    // a stable word for machines: "yama"
  std::string text;  // what was found
  std::string hint;  // what to do about it; empty: nothing
};

struct Diagnosis {
  std::vector<Check> checks;
  bool works = true;
  std::string conclusion;
  std::string schema = "memsnap.doctor/1";
  std::int64_t pid = 0;  // 0: of the machine only
  std::string file;      // --dry-run: where the snapshot would go
};
Report make_diagnosis(const Diagnosis& diagnosis, bool with_hints);

}  // namespace memsnap
