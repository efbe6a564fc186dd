#include "report/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "report/json_output.h"

namespace memsnap {
namespace {

constexpr std::size_t kMostLabel = 200;  // bytes, about
constexpr std::string_view kOtherTypes = "other";

// Any text as a label's value: UTF-8, escaped, not endless. Texts that become the same are the same from here on.
std::string label_value(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size() && out.size() < kMostLabel;) {
    const std::size_t length = utf8_sequence_length(text.substr(at));
    const std::string_view piece = length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(at, length);
    at += std::max<std::size_t>(length, 1);
    if (piece == "\\" || piece == "\"") {
      out += '\\';
      out += piece;
    } else if (piece == "\n") {
      out += "\\n";
    } else if (piece.size() == 1 && static_cast<unsigned char>(piece[0]) < 0x20) {
      out += fmt::format("\\\\x{:02x}", piece[0]);
    } else {
      out += piece;
    }
  }
  return out;
}

class Writer {
 public:
  explicit Writer(MetricsFormat format) : open_(format == MetricsFormat::kOpenMetrics) {}

  // `unit` ends the name, as OpenMetrics wants it; empty: none.
  void family(std::string_view name, std::string_view unit, std::string_view help) {
    name_ = name;
    const std::string type = fmt::format("# TYPE {} gauge\n", name);
    const std::string help_line = fmt::format("# HELP {} {}\n", name, help);
    text_ += open_ ? type : help_line;
    if (open_ && !unit.empty()) text_ += fmt::format("# UNIT {} {}\n", name, unit);
    text_ += open_ ? help_line : type;
  }
  void sample(std::string_view labels, std::uint64_t value) { text_ += fmt::format("{}{} {}\n", name_, labels, value); }
  void sample(std::string_view labels, double value) { text_ += fmt::format("{}{} {}\n", name_, labels, value); }

  std::string finish() {
    if (open_) text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  bool open_;
  std::string_view name_;
  std::string text_;
};

struct Labelled {
  ProcessFigures figures;
  std::string labels;  // app="shop",worker="0" without braces
};

std::vector<Labelled> labelled(std::vector<ProcessFigures> processes, bool by_pid) {
  std::sort(processes.begin(), processes.end(), [](const ProcessFigures& a, const ProcessFigures& b) {
    return std::tie(a.app, a.container, a.start_time, a.pid) < std::tie(b.app, b.container, b.start_time, b.pid);
  });
  std::map<std::pair<std::string, std::string>, std::size_t> workers;
  std::vector<Labelled> all;
  for (ProcessFigures& figures : processes) {
    const std::size_t worker = workers[{figures.app, figures.container}]++;
    if (!figures.is_known) continue;
    std::string labels = fmt::format("app=\"{}\",", figures.app);
    labels += by_pid ? fmt::format("pid=\"{}\"", figures.pid) : fmt::format("worker=\"{}\"", worker);
    if (!figures.container.empty()) labels += fmt::format(",container=\"{}\"", figures.container);
    all.push_back({std::move(figures), std::move(labels)});
  }
  return all;
}

using Value = std::function<std::optional<double>(const ProcessFigures&)>;

struct Gauge {
  std::string_view name, unit, help;
  Value value;
};

double number(std::uint64_t value) { return static_cast<double>(value); }

// Of a process whose parts were not measured nothing is said about them.
std::optional<double> of_parts(const MemoryTotals& memory, std::uint64_t value) {
  return memory.parts.empty() ? std::nullopt : std::optional(number(value));
}

const std::vector<Gauge>& gauges() {
  static const std::vector<Gauge> all{
      {"memsnap_process_resident_bytes", "bytes", "Resident memory (RSS) at the snapshot.",
       [](const ProcessFigures& f) { return number(f.memory.rss); }},
      {"memsnap_process_private_bytes", "bytes", "Resident memory that no other process shares (USS).",
       [](const ProcessFigures& f) { return number(f.memory.uss); }},
      {"memsnap_process_proportional_bytes", "bytes", "Resident memory, shared pages divided by their users (PSS).",
       [](const ProcessFigures& f) { return number(f.memory.pss); }},
      {"memsnap_python_objects_bytes", "bytes", "Sizes of all live Python objects.",
       [](const ProcessFigures& f) { return number(f.memory.python_objects); }},
      {"memsnap_python_objects", "", "Live Python objects.", [](const ProcessFigures& f) { return number(f.objects); }},
      {"memsnap_snapshot_pause_seconds", "seconds", "How long the process was stopped.",
       [](const ProcessFigures& f) { return f.pause_seconds; }},
      {"memsnap_snapshot_duration_seconds", "seconds", "How long the walk of its copy took.",
       [](const ProcessFigures& f) { return f.duration_seconds; }},
      {"memsnap_snapshot_timestamp_seconds", "seconds", "When the snapshot was taken.",
       [](const ProcessFigures& f) { return f.taken_at_seconds; }}};
  return all;
}

void write_allocators(Writer& out, const std::vector<Labelled>& processes) {
  out.family("memsnap_allocator_free_bytes", "bytes", "Resident memory that an allocator keeps for later.");
  for (const Labelled& process : processes) {
    const MemoryTotals& memory = process.figures.memory;
    for (const auto& [allocator, part] : {std::pair{"pymalloc", kPartPymallocFree}, {"malloc", kPartMallocFree}}) {
      if (const auto value = of_parts(memory, memory.part(part)))
        out.sample(fmt::format("{{{},allocator=\"{}\"}}", process.labels, allocator), *value);
    }
  }
}

void write_types(Writer& out, const std::vector<Labelled>& processes) {
  const auto each = [&](auto value) {
    for (const Labelled& process : processes) {
      for (const TypeFigure& type : process.figures.types)
        out.sample(fmt::format("{{{},type=\"{}\"}}", process.labels, label_value(type.name)), value(type));
    }
  };
  out.family("memsnap_type_bytes", "bytes", "Sizes of the live objects of the largest types.");
  each([](const TypeFigure& type) { return type.bytes; });
  out.family("memsnap_type_objects", "", "Live objects of the largest types.");
  each([](const TypeFigure& type) { return type.count; });
}

void write_run(Writer& out, const RunFigures& run) {
  out.family("memsnap_last_run_timestamp_seconds", "seconds", "When memsnap last ran.");
  out.sample("", run.ended_at_seconds);
  out.family("memsnap_last_run_exit_code", "", "Its exit code: 0 all is well.");
  out.sample("", static_cast<double>(run.exit_code));
  out.family("memsnap_targets", "", "Processes it was to look at.");
  out.sample("", run.targets);
  out.family("memsnap_targets_failed", "", "Those it could not look at.");
  out.sample("", run.failed);
}

}  // namespace

ProcessFigures process_figures(const Snapshot& snapshot, std::size_t most) {
  const SnapshotHeader& header = snapshot.header;
  ProcessFigures figures;
  figures.pid = header.target.pid;
  figures.start_time = header.target.start_time;
  figures.app = label_value(header.target.name);
  figures.container = label_value(header.target.container);
  figures.memory = header.memory;
  figures.objects = header.objects;
  figures.pause_seconds = header.pause_ms / 1e3;
  figures.duration_seconds = header.walk_ms / 1e3;
  figures.taken_at_seconds = static_cast<double>(header.taken_at_ns) / 1e9;
  // Types of one name are one series.
  std::map<std::string, TypeFigure> by_name;
  for (const TypeEntry& type : snapshot.graph.types) {
    const std::string_view name = snapshot.graph.strings.text(type.name);
    if (type.count == 0 || name == kNativeTypeName) continue;
    TypeFigure& sum = by_name[label_value(name)];
    sum.count += type.count;
    sum.bytes += type.size;
  }
  TypeFigure other = std::move(by_name[std::string(kOtherTypes)]);
  other.name = kOtherTypes;
  by_name.erase(other.name);
  std::vector<TypeFigure> all;
  for (auto& [name, figure] : by_name) all.push_back({name, figure.count, figure.bytes});
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  for (std::size_t i = most; i < all.size(); ++i) {
    other.count += all[i].count;
    other.bytes += all[i].bytes;
  }
  if (all.size() > most) all.resize(most);
  all.push_back(std::move(other));
  figures.types = std::move(all);
  return figures;
}

ProcessFigures unknown_figures(std::int32_t pid, std::uint64_t start_time, const std::string& name,
                               const std::string& container) {
  ProcessFigures figures;
  figures.pid = pid;
  figures.start_time = start_time;
  figures.app = label_value(name);
  figures.container = label_value(container);
  figures.is_known = false;
  return figures;
}

std::string metrics_text(std::vector<ProcessFigures> processes, const std::optional<RunFigures>& run,
                         MetricsFormat format, bool by_pid) {
  const std::vector<Labelled> all = labelled(std::move(processes), by_pid);
  Writer out(format);
  if (!all.empty()) {
    for (const Gauge& gauge : gauges()) {
      out.family(gauge.name, gauge.unit, gauge.help);
      for (const Labelled& process : all) {
        if (const auto value = gauge.value(process.figures)) out.sample(fmt::format("{{{}}}", process.labels), *value);
      }
    }
    write_allocators(out, all);
    write_types(out, all);
  }
  if (run) write_run(out, *run);
  return out.finish();
}

}  // namespace memsnap
