#include "report/allocation_site.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "report/profile_facts.h"

namespace memsnap {
namespace {

constexpr std::size_t kCallsShown = 4;
constexpr std::size_t kMostCalls = 1000;

std::optional<RowIndex> row_of(const Snapshot& snapshot, NodeIndex node) {
  if (!snapshot.profile || node >= snapshot.graph.site.size()) return std::nullopt;
  const std::uint32_t site = snapshot.graph.site[node];
  if (site == 0 || site > snapshot.profile->row_count()) return std::nullopt;
  return site - 1;
}

std::vector<const ProfileFrame*> stack_of(const AllocationProfile& profile, RowIndex row, std::size_t most) {
  std::vector<const ProfileFrame*> stack;
  for (CallIndex call = profile.row_call[row]; call != 0 && stack.size() < most; call = profile.call_parent[call]) {
    stack.push_back(&profile.frames[profile.call_frame[call]]);
  }
  return stack;
}

std::string function_of(const AllocationProfile& profile, const ProfileFrame& frame) {
  return std::string(frame.kind == ProfileFrameKind::kCut ? kCutStack : profile.strings.text(frame.function));
}

}  // namespace

std::optional<Line> allocation_line(const Snapshot& snapshot, NodeIndex node, Line line) {
  const auto row = row_of(snapshot, node);
  if (!row) return std::nullopt;
  const AllocationProfile& profile = *snapshot.profile;
  const auto stack = stack_of(profile, *row, kCallsShown + 1);
  for (std::size_t i = 0; i < stack.size() && i < kCallsShown; ++i) {
    if (i != 0) line.text(", from ");
    line.name(function_of(profile, *stack[i]), i == 0 ? Emphasis::kStrong : Emphasis::kNone).text(" ");
    line.name(location_text(profile.strings.text(stack[i]->file), stack[i]->line));
  }
  if (stack.empty()) line.text(std::string(kNoStack));
  if (stack.size() > kCallsShown) line.text(", ...");
  const ProfileThread& thread = profile.threads[profile.row_thread[*row]];
  line.text(", by ").name(std::string(profile.strings.text(profile.allocators[profile.row_allocator[*row]].name)));
  return line.text(" in ").name(thread_text(profile.strings.text(thread.name), thread.tid));
}

Fact allocation_fact(const Snapshot& snapshot, NodeIndex node) {
  const auto row = row_of(snapshot, node);
  if (!row) return {nullptr};
  const AllocationProfile& profile = *snapshot.profile;
  FactArray stack;
  for (const ProfileFrame* frame : stack_of(profile, *row, kMostCalls)) {
    stack.push_back({FactObject{{"function", {function_of(profile, *frame)}},
                                {"file", {std::string(profile.strings.text(frame->file))}},
                                {"line", {std::uint64_t{frame->line}}}}});
  }
  const ProfileThread& thread = profile.threads[profile.row_thread[*row]];
  return {FactObject{
      {"stack", {std::move(stack)}},
      {"allocator", {std::string(profile.strings.text(profile.allocators[profile.row_allocator[*row]].name))}},
      {"tid", {std::uint64_t{thread.tid}}},
      {"thread", {std::string(profile.strings.text(thread.name))}}}};
}

}  // namespace memsnap
