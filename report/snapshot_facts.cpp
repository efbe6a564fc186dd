#include "report/snapshot_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>

#include "report/memory_report.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::size_t kNamesListed = 5;

std::string milliseconds_text(double ms) {
  return ms < 1000 ? fmt::format("{:.1f} ms", ms) : fmt::format("{:.2f} s", ms / 1000);
}

void list_names(Line& line, const std::vector<NamedCount>& names) {
  const std::size_t listed = std::min(names.size(), kNamesListed);
  for (std::size_t i = 0; i < listed; ++i) {
    line.text(i == 0 ? ": " : ", ").type(names[i].name).text(" (").count(names[i].count).text(")");
  }
  if (names.size() > listed) line.text(fmt::format(" and {} more", names.size() - listed));
}

Line warning(std::string text) { return Line().text("  " + std::move(text), Emphasis::kWarning); }

FactArray named_counts(const std::vector<NamedCount>& names) {
  FactArray array;
  for (const NamedCount& entry : names) {
    array.push_back({FactObject{{"type", {entry.name}}, {"count", {entry.count}}, {"bytes", {entry.bytes}}}});
  }
  return array;
}

FactArray texts(const std::vector<std::string>& lines) {
  FactArray array;
  for (const std::string& line : lines) array.push_back({line});
  return array;
}

constexpr std::string_view kCore = "core";

std::string held_text(const SnapshotHeader& header) {
  if (header.method == kCore) return fmt::format("core of {}", utc_time(header.taken_at_ns));
  return header.method == "read" ? "not stopped" : "stopped " + milliseconds_text(header.pause_ms);
}

FactObject core_facts(const CoreFacts& core) {
  return {{"file", {core.file}},
          {"signal", {std::int64_t{core.signal}}},
          {"signal_name", core.signal == 0 ? Fact{nullptr} : Fact{signal_name(core.signal)}},
          {"signal_thread", {std::int64_t{core.signal_thread}}},
          {"fault_address", {core.fault_address}},
          {"bytes_cut_off", {core.bytes_cut_off}}};
}

std::string title_of(const TargetInfo& target) { return target.name.empty() ? target.command_line : target.name; }

}  // namespace

std::string signal_text(const CoreFacts& core) {
  if (core.signal == 0) return "none: a copy of a running process";
  std::string text = fmt::format("{} in thread {}", signal_name(core.signal), core.signal_thread);
  if (core.fault_address != 0) text += fmt::format(" at {:#x}", core.fault_address);
  return text;
}

std::string signal_name(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? fmt::format("signal {}", signal) : fmt::format("SIG{}", name);
}

std::string utc_time(std::int64_t ns_since_epoch) {
  const std::time_t seconds = ns_since_epoch / 1'000'000'000;
  std::tm parts{};
  if (gmtime_r(&seconds, &parts) == nullptr) return "?";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string kind_name(SnapshotKind kind) {
  if (kind == SnapshotKind::kAllocations) return "allocations";
  return kind == SnapshotKind::kTypes ? "types" : "heap";
}

std::string strings_name(StringsPolicy policy, std::uint32_t prefix) {
  switch (policy) {
    case StringsPolicy::kNone:
      return "none";
    case StringsPolicy::kNames:
      return "names";
    case StringsPolicy::kPrefix:
      return fmt::format("prefix={}", prefix);
    case StringsPolicy::kHash:
      return "hash";
  }
  return "unknown";
}

std::vector<Line> headline(const SnapshotHeader& header) {
  const TargetInfo& target = header.target;
  Line who;
  who.text(fmt::format("{} ", target.pid), Emphasis::kStrong).name(title_of(target), Emphasis::kStrong);
  if (!target.host.empty()) who.text(" @ ").name(target.host);
  who.text(", CPython ").name(target.python);
  if (target.uptime_seconds > 0) who.text(fmt::format(", up {}", duration_text(target.uptime_seconds)));
  who.text(fmt::format("      {}, walked in {}", held_text(header), milliseconds_text(header.walk_ms)));

  Line memory;
  if (header.method != kCore) {  // which does not say what was resident
    if (header.memory.parts.empty()) memory.text("RSS ").bytes(header.memory.rss).text("  ");
    memory.text("PSS ").bytes(header.memory.pss).text("  USS ").bytes(header.memory.uss).text("  ");
  }
  memory.text("Python objects ").bytes(header.bytes).text(" in ");
  memory.count(header.objects).text(header.objects == 1 ? " object" : " objects");

  std::vector<Line> lines{who};
  if (!header.memory.parts.empty()) lines.push_back(memory_sum(header.memory));
  lines.push_back(memory);
  for (Line& line : caveats(header)) lines.push_back(std::move(line));
  return lines;
}

std::vector<Line> caveats(const SnapshotHeader& header) {
  std::vector<Line> lines;
  if (header.core.signal != 0) lines.push_back(warning("ended by " + signal_text(header.core)));
  if (header.core.bytes_cut_off != 0) {
    lines.push_back(warning("the core was cut off: ").bytes(header.core.bytes_cut_off).text(" of memory are missing"));
  }
  if (!header.consistent) {
    lines.push_back(warning("read while it ran: the figures are not of one moment"));
  }
  if (header.partial) lines.push_back(warning("partial: not every object was reached"));
  if (!header.fallback_reason.empty()) {
    lines.push_back(warning(fmt::format("method {}, because: ", header.method)).name(header.fallback_reason));
  }
  if (header.during_collection) {
    lines.push_back(warning("taken in the middle of a garbage collection"));
  }
  if (header.target_ended) lines.push_back(warning("the process ended while its copy was walked"));
  if (header.unreadable != 0) {
    lines.push_back(
        warning("").count(header.unreadable).text(" references led to nothing readable, and were left out"));
  }
  if (header.skipped != 0) {
    Line line = warning("");
    line.count(header.skipped).text(" objects whose type could not be traversed, walked by their structure");
    list_names(line, header.skipped_types);
    lines.push_back(std::move(line));
  }
  if (header.orphans != 0) {
    lines.push_back(Line()
                        .text("  ")
                        .count(header.orphans)
                        .text(" objects (")
                        .bytes(header.orphan_bytes)
                        .text(") are reached only from C, or from nothing"));
  }
  if (!header.python_sizeof_types.empty()) {
    Line line;
    const std::size_t types = header.python_sizeof_types.size();
    line.text(fmt::format("  __sizeof__ is written in Python in {} type{}, and was not run there", types,
                          types == 1 ? "" : "s"));
    list_names(line, header.python_sizeof_types);
    lines.push_back(std::move(line));
  }
  for (const std::string& text : header.warnings) lines.push_back(warning("").name(text, Emphasis::kWarning));
  return lines;
}

std::vector<Line> suspect_lines(const SnapshotHeader& header) {
  std::vector<Line> lines;
  for (const Suspect& suspect : header.suspects) {
    Line line;
    line.text(" suspect: ", Emphasis::kWarning);
    if (suspect.path.empty()) {
      line.count(suspect.crowd_count).text(" x ").type(suspect.type).text(", held by many, retain ");
    } else {
      line.name(suspect.path, Emphasis::kStrong).text("  ").type(suspect.type).text(", retains ");
    }
    line.bytes(suspect.retained);
    line.text(fmt::format(" ({} %)", percent_text(percent_of(suspect.retained, header.bytes + header.native_bytes))));
    if (!suspect.path.empty() && suspect.crowd_count != 0) {
      line.text(": ").count(suspect.crowd_count).text(" x ").type(suspect.crowd_type).text(", ");
      line.bytes(suspect.crowd_retained);
    } else if (!suspect.path.empty() && !suspect.crowd_type.empty()) {
      line.text(": a chain of ").type(suspect.crowd_type);
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

FactArray suspect_facts(const SnapshotHeader& header) {
  FactArray facts;
  for (const Suspect& suspect : header.suspects) {
    FactObject one{{"path", {suspect.path}},
                   {"type", {suspect.type}},
                   {"address", {suspect.address == 0 ? "" : fmt::format("{:#x}", suspect.address)}},
                   {"retained", {suspect.retained}}};
    FactObject crowd{
        {"type", {suspect.crowd_type}}, {"count", {suspect.crowd_count}}, {"retained", {suspect.crowd_retained}}};
    one.push_back({"crowd", {std::move(crowd)}});
    facts.push_back({std::move(one)});
  }
  return facts;
}

FactObject target_facts(const TargetInfo& target) {
  return {{"pid", {std::int64_t{target.pid}}},
          {"start_time", {target.start_time}},
          {"host", {target.host}},
          {"name", {target.name}},
          {"command_line", {target.command_line}},
          {"executable", {target.executable}},
          {"user", {target.user}},
          {"container", {target.container}},
          {"python", {target.python}},
          {"uptime_seconds", {target.uptime_seconds}},
          {"threads", {std::uint64_t{target.threads}}}};
}

FactObject memory_facts(const MemoryTotals& memory, bool parts) {
  FactObject facts{
      {"rss", {memory.rss}}, {"pss", {memory.pss}}, {"uss", {memory.uss}}, {"python_objects", {memory.python_objects}}};
  if (memory.parts.empty()) return facts;
  if (parts) {
    FactArray array;
    for (const MemoryPart& part : memory.parts) {
      array.push_back({FactObject{{"name", {part.name}}, {"bytes", {part.bytes}}}});
    }
    facts.push_back({"parts", {std::move(array)}});
  }
  facts.push_back({"accounted", {memory.accounted()}});
  facts.push_back({"allocator", {memory.allocator}});
  facts.push_back({"trimmable", {memory.trimmable}});
  facts.push_back({"pymalloc_arenas", {memory.pymalloc_arenas}});
  facts.push_back({"pymalloc_resident", {memory.pymalloc_resident}});
  facts.push_back({"native_blocks", {memory.native_blocks}});
  facts.push_back({"damaged", {memory.damaged}});
  facts.push_back({"parts_ms", {memory.parts_ms}});
  facts.push_back({"parts_cpu_ms", {memory.parts_cpu_ms}});
  return facts;
}

FactObject totals_facts(const SnapshotHeader& header) {
  return {{"objects", {header.objects}},
          {"bytes", {header.bytes}},
          {"edges", {header.edges}},
          {"native",
           {FactObject{{"bytes", {header.native_bytes}},
                       {"blocks", {header.native_blocks}},
                       {"unowned_bytes", {header.unowned_bytes}},
                       {"unowned_blocks", {header.unowned_blocks}}}}}};
}

FactObject capture_facts(const SnapshotHeader& header) {
  FactObject facts = {{"taken_at", {utc_time(header.taken_at_ns)}},
                      {"kind", {kind_name(header.kind)}},
                      {"strings", {strings_name(header.strings, header.strings_prefix)}},
                      {"redacted", {header.redacted}},
                      {"method", {header.method}},
                      {"fallback_reason", {header.fallback_reason}},
                      {"consistent", {header.consistent}},
                      {"partial", {header.partial}},
                      {"during_collection", {header.during_collection}},
                      {"target_ended", {header.target_ended}},
                      {"pause_ms", {header.pause_ms}},
                      {"walk_ms", {header.walk_ms}},
                      {"walk_cpu_ms", {header.walk_cpu_ms}},
                      {"child_cpu_ms", {header.child_cpu_ms}},
                      {"unreadable", {header.unreadable}},
                      {"skipped", {header.skipped}},
                      {"skipped_types", {named_counts(header.skipped_types)}},
                      {"orphans", {header.orphans}},
                      {"orphan_bytes", {header.orphan_bytes}},
                      {"python_sizeof_types", {named_counts(header.python_sizeof_types)}},
                      {"warnings", {texts(header.warnings)}}};
  if (header.method == kCore) facts.push_back({"core", {core_facts(header.core)}});
  return facts;
}

Report make_snapshot_report(const SnapshotHeader& header, const std::optional<SavedFile>& file,
                            const std::vector<std::string>& left_behind) {
  Report report;
  report.schema = "memsnap.snapshot/1";
  report.facts = {{"file", file ? Fact{file->path} : Fact{nullptr}},
                  {"file_bytes", file ? Fact{file->bytes} : Fact{nullptr}},
                  {"pid", {std::int64_t{header.target.pid}}},
                  {"name", {header.target.name}},
                  {"python", {header.target.python}},
                  {"objects", {header.objects}},
                  {"edges", {header.edges}},
                  {"bytes", {header.bytes}}};
  for (NamedFact& member : capture_facts(header)) report.facts.push_back(std::move(member));
  report.facts.push_back({"memory", {memory_facts(header.memory)}});
  report.facts.push_back({"left_behind", {texts(left_behind)}});

  Line line;
  // Never cut: a path is there to be copied.
  if (file) line.text(file->path, Emphasis::kStrong).text("   ");
  line.count(header.objects).text(" objects   ").bytes(header.bytes).text(" in the target");
  if (file) line.text("   ").bytes(file->bytes).text(" on disk");
  report.headline = {line};
  return report;
}

Report make_skipped_report(std::int32_t pid, const std::string& reason) {
  Report report;
  report.schema = "memsnap.snapshot/1";
  report.facts = {{"pid", {std::int64_t{pid}}}, {"skipped", {reason}}};
  return report;
}

}  // namespace memsnap
