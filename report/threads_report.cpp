#include "report/threads_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>

#include "attach/base/printable.h"
#include "report/snapshot_facts.h"
#include "report/text_layout.h"
#include "snapshot/analysis/frame_locals.h"

namespace memsnap {
namespace {

constexpr std::size_t kWidestFunction = 32;
constexpr std::array<std::string_view, 6> kWaitWords{"unknown", "runs", "system call", "lock", "gil", "thread end"};
constexpr std::uint64_t kWorthNaming = 1024;  // bytes that a local retains

// With if, not with ?: gcc 12 takes that for a use of unset members.
Fact truth(Tristate value) {
  Fact fact;
  if (value != Tristate::kUnknown) fact.value = value == Tristate::kYes;
  return fact;
}

Fact number_fact(std::int64_t number) {  // 0: not known
  Fact fact;
  if (number != 0) fact.value = number;
  return fact;
}

Fact text_fact(std::string text) {
  Fact fact;
  if (!text.empty()) fact.value = std::move(text);
  return fact;
}

Fact seconds_fact(double seconds) {
  Fact fact;
  if (seconds >= 0) fact.value = seconds;
  return fact;
}

class ThreadTexts {
 public:
  ThreadTexts(const Snapshot& snapshot, const ThreadsOptions& options)
      : snapshot_(snapshot), stacks_(*snapshot.threads), options_(options) {}

  std::vector<Line> lines() const {
    std::vector<Line> lines{title()};
    for (Line& line : caveats(snapshot_.header)) lines.push_back(std::move(line));
    for (const auto& circle : stacks_.deadlocks) lines.push_back(circle_line(circle));
    if (stacks_.all_wait) {
      lines.push_back(
          Line().text("  possible deadlock: all threads wait for locks, without a time limit, and none is "
                      "left to release one",
                      Emphasis::kBad));
    }
    for (const ThreadStack& thread : stacks_.threads) add_thread(thread, lines);
    return lines;
  }

  FactArray facts() const {
    FactArray threads;
    for (const ThreadStack& thread : stacks_.threads) {
      FactArray frames;
      for (const StackFrame& frame : frames_of(thread)) {
        if (!frame.native || options_.native) frames.push_back(frame_fact(frame));
      }
      threads.push_back({FactObject{{"tid", number_fact(thread.tid)},
                                    {"name", {text(thread.name)}},
                                    {"holds_gil", {thread.has(kThreadHoldsGil)}},
                                    {"waits", text_fact(thread.wait == WaitKind::kRuns ? "" : text(thread.waits))},
                                    {"runs_in", text_fact(thread.wait == WaitKind::kRuns ? text(thread.waits) : "")},
                                    {"wait_kind", {std::string(kWaitWords.at(static_cast<std::size_t>(thread.wait)))}},
                                    {"owner", number_fact(thread.owner)},
                                    {"wait_seconds", seconds_fact(thread.wait_seconds)},
                                    {"python", {thread.has(kThreadPython)}},
                                    {"interpreter", {thread.interpreter}},
                                    {"complete", {!thread.has(kThreadPartialPython)}},
                                    {"native_complete", native_complete(thread)},
                                    {"frames", {std::move(frames)}}}});
    }
    return threads;
  }

 private:
  std::string text(StringId id) const { return std::string(stacks_.strings.text(id)); }

  std::span<const StackFrame> frames_of(const ThreadStack& thread) const {
    return std::span(stacks_.frames).subspan(thread.frame_begin, thread.frame_count);
  }

  static Fact native_complete(const ThreadStack& thread) {
    if (!thread.has(kThreadNative)) return {nullptr};
    return {!thread.has(kThreadPartialNative) && !thread.has(kThreadUnmatched)};
  }

  std::string named(std::int32_t tid) const {
    const auto thread = std::find_if(stacks_.threads.begin(), stacks_.threads.end(),
                                     [tid](const ThreadStack& each) { return each.tid == tid; });
    return thread == stacks_.threads.end() ? fmt::to_string(tid) : fmt::format("{} ({})", tid, text(thread->name));
  }

  Line title() const {
    const SnapshotHeader& header = snapshot_.header;
    Line line;
    line.text(fmt::format("{} ", header.target.pid), Emphasis::kStrong);
    line.name(header.target.name.empty() ? header.target.command_line : header.target.name, Emphasis::kStrong);
    line.text(", CPython ").name(header.target.python);
    if (stacks_.gil_held == Tristate::kUnknown) {
      line.text("   GIL: not known");
    } else if (stacks_.gil_held == Tristate::kNo) {
      line.text("   GIL: free");
    } else {
      line.text("   GIL: ")
          .name(stacks_.gil_holder == 0 ? "a thread that was not found" : "thread " + named(stacks_.gil_holder));
    }
    if (stacks_.collecting == Tristate::kUnknown) line.text("   collection: not known");
    if (header.method == "core") return line.text("      from a core");
    return line.text(header.method == "read" ? "      not stopped"
                                             : fmt::format("      stopped {:.1f} ms", header.pause_ms));
  }

  Line circle_line(const std::vector<std::int32_t>& circle) const {
    Line line;
    line.text("  deadlock: ", Emphasis::kBad);
    for (std::size_t i = 0; i < circle.size(); ++i) {
      line.name(named(circle[i]), Emphasis::kBad);
      line.text(i == 0 ? " waits for " : ", which waits for ", Emphasis::kBad);
    }
    return line.name(circle.empty() ? "" : named(circle.front()), Emphasis::kBad);
  }

  void add_thread(const ThreadStack& thread, std::vector<Line>& lines) const {
    Line line;
    line.text(thread.tid == 0 ? "       ?" : fmt::format("{:>8}", thread.tid), Emphasis::kStrong).text(" ");
    add_padded(text(thread.name), 16, Emphasis::kStrong, line);
    line.text(" ");
    add_activity(thread, line);
    if (thread.interpreter != 0) line.text(fmt::format("   interpreter {}", thread.interpreter));
    lines.push_back(std::move(line));
    std::size_t width = 0;
    for (const StackFrame& frame : frames_of(thread)) {
      if (frame.native && !options_.native) continue;
      width = std::max(width, std::min(kWidestFunction, display_width_of(frame)));
    }
    for (const StackFrame& frame : frames_of(thread)) {
      if (!frame.native || options_.native) lines.push_back(frame_line(frame, width));
    }
    if (thread.has(kThreadPartialPython)) note("not all Python frames could be read", lines);
    if (!options_.native) return;
    if (thread.has(kThreadUnmatched)) note("which native frames run which Python frames could not be told", lines);
    if (thread.has(kThreadPartialNative)) note("the native frames do not reach the beginning of the thread", lines);
  }

  static void note(const char* what, std::vector<Line>& lines) {
    lines.push_back(Line().text(fmt::format("           ({})", what), Emphasis::kWarning));
  }

  std::size_t display_width_of(const StackFrame& frame) const { return display_width(printable(text(frame.function))); }

  static void add_padded(const std::string& name, std::size_t width, Emphasis emphasis, Line& line) {
    const std::size_t taken = display_width(printable(name));
    line.name(name, emphasis).text(std::string(width > taken ? width - taken : 0, ' '));
  }

  void add_activity(const ThreadStack& thread, Line& line) const {
    const std::string holds = thread.has(kThreadHoldsGil) ? ", holds the GIL" : "";
    const std::string waited = thread.wait_seconds >= 1 ? " " + duration_text(thread.wait_seconds) : "";
    const CoreFacts& core = snapshot_.header.core;
    if (core.signal != 0 && thread.tid == core.signal_thread) {
      line.text("ended by " + signal_name(core.signal) + holds, Emphasis::kBad);
      return;
    }
    switch (thread.wait) {
      case WaitKind::kUnknown:
        line.text("could not be stopped" + holds, Emphasis::kFaint);
        return;
      case WaitKind::kRuns:
        line.text("runs" + holds, Emphasis::kGood);
        if (thread.waits != 0) line.text(", in C: ").name(text(thread.waits));
        return;
      case WaitKind::kGil:
        line.text("waits" + waited + " for ").name(text(thread.waits)).text(holds);
        return;
      default:
        line.text((thread.has(kThreadSleeps) ? "waits" + waited : std::string("is")) + " in ");
        line.name(text(thread.waits)).text(holds);
        return;
    }
  }

  Line frame_line(const StackFrame& frame, std::size_t width) const {
    const Emphasis emphasis = frame.native ? Emphasis::kFaint : Emphasis::kNone;
    Line line;
    line.text(frame.native ? "             " : "           ");
    add_padded(text(frame.function), width, emphasis, line);
    line.text("  ");
    const std::string file = text(frame.file);
    line.name(file, emphasis).text(frame.line == 0 ? "" : fmt::format(":{}", frame.line), emphasis);
    if (!options_.locals || frame.native) return line;
    const FrameLocals locals = frame_locals(snapshot_.graph, frame.address);
    if (!locals.known) return line;
    line.text("   locals retain ").bytes(locals.retained);
    if (locals.bytes < kWorthNaming || locals.name.empty()) return line;
    line.text(locals.shared ? "; largest: " : ": ").name(locals.name).text(" (").type(locals.type);
    if (locals.items != 0) line.text(", ").count(locals.items);
    if (locals.shared) line.text(", ").bytes(locals.bytes).text(", held by others too");
    return line.text(")");
  }

  Fact frame_fact(const StackFrame& frame) const {
    FactObject object{{"function", {text(frame.function)}},
                      {"file", {text(frame.file)}},
                      {"line", number_fact(frame.line)},
                      {"native", {frame.native}}};
    if (frame.native) object.push_back({"address", {fmt::format("{:#x}", frame.address)}});
    if (!options_.locals || frame.native) return {std::move(object)};
    const FrameLocals locals = frame_locals(snapshot_.graph, frame.address);
    if (!locals.known) return {std::move(object)};
    Fact largest;
    if (!locals.name.empty()) {
      largest.value = FactObject{{"name", {locals.name}},
                                 {"type", {locals.type}},
                                 {"items", {locals.items}},
                                 {"retained", {locals.bytes}},
                                 {"shared", {locals.shared}}};
    }
    object.push_back({"locals", {FactObject{{"retained", {locals.retained}}, {"largest", std::move(largest)}}}});
    return {std::move(object)};
  }

  const Snapshot& snapshot_;
  const ThreadStacks& stacks_;
  const ThreadsOptions& options_;
};

FactArray circles(const ThreadStacks& stacks) {
  FactArray all;
  for (const auto& circle : stacks.deadlocks) {
    FactArray tids;
    for (const std::int32_t tid : circle) tids.push_back(number_fact(tid));
    all.push_back({std::move(tids)});
  }
  return all;
}

}  // namespace

Report make_threads(const Snapshot& snapshot, const ThreadsOptions& options) {
  const SnapshotHeader& header = snapshot.header;
  const ThreadStacks& stacks = *snapshot.threads;
  const ThreadTexts texts(snapshot, options);
  FactArray warnings;
  for (const std::string& warning : header.warnings) warnings.push_back({warning});
  Report report;
  report.schema = "memsnap.threads/1";
  report.facts = {{"target", {target_facts(header.target)}},
                  {"taken_at", {utc_time(header.taken_at_ns)}},
                  {"method", {header.method}},
                  {"consistent", {header.consistent}},
                  {"partial", {stacks.partial || header.partial}},
                  {"pause_ms", {header.pause_ms}},
                  {"gil", {FactObject{{"held", truth(stacks.gil_held)}, {"holder", number_fact(stacks.gil_holder)}}}},
                  {"collecting", truth(stacks.collecting)},
                  {"deadlocks", {circles(stacks)}},
                  {"possible_deadlock", {stacks.all_wait}},
                  {"threads", {texts.facts()}},
                  {"warnings", {std::move(warnings)}}};
  report.headline = texts.lines();
  return report;
}

}  // namespace memsnap
