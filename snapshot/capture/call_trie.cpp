#include "snapshot/capture/call_trie.h"

#include <fmt/format.h>

#include <utility>

namespace memsnap {
namespace {

constexpr std::size_t mixed(std::uint64_t value) {
  value *= 0x9e3779b97f4a7c15ull;
  return value ^ value >> 29;
}

bool is_code(const AgentNode& node) { return node.code < kNodeSpecial; }

}  // namespace

std::size_t CallTrie::InstructionHash::operator()(const std::pair<std::uint64_t, std::uint32_t>& key) const {
  return mixed(key.first + mixed(key.second));
}

std::size_t CallTrie::FrameHash::operator()(const ProfileFrame& frame) const {
  return mixed(mixed(std::uint64_t{frame.function} << 32 | frame.file) +
               mixed(std::uint64_t{frame.line} << 32 | frame.first_line) + static_cast<std::uint64_t>(frame.kind));
}

CallTrie::CallTrie(const TableReader& tables, AllocationProfile& profile, NativeNames native_names)
    : tables_(tables), profile_(profile), native_names_(std::move(native_names)), codes_(tables, profile.strings) {
  if (!profile_.call_parent.empty()) return;
  profile_.call_parent.push_back(0);
  profile_.call_frame.push_back(kNoFrame);
}

void CallTrie::refresh() {
  nodes_ = tables_.nodes();
  places_.resize(nodes_.size(), Place{kNotResolved, 0});
  // After the nodes: what they name is there.
  codes_.refresh();
}

FrameIndex CallTrie::add_frame(const ProfileFrame& frame) {
  const auto [found, is_new] = by_frame_.try_emplace(frame, static_cast<FrameIndex>(profile_.frames.size()));
  if (is_new) profile_.frames.push_back(frame);
  return found->second;
}

FrameIndex CallTrie::native_frame(std::uint64_t address) {
  profile_.native = true;
  NativeName name = native_names_ ? native_names_(address) : NativeName{};
  if (name.hidden) return kNoFrame;
  if (name.function.empty()) name.function = fmt::format("{:#x}", address);
  ProfileFrame frame;
  frame.kind = ProfileFrameKind::kNative;
  frame.function = profile_.strings.add(name.function);
  frame.file = profile_.strings.add(name.file);
  frame.line = name.line;
  return add_frame(frame);
}

std::optional<FrameIndex> CallTrie::frame_of(const AgentNode& node, bool force) {
  const std::pair key(node.instruction, node.code);
  if (const auto known = by_instruction_.find(key); known != by_instruction_.end()) return known->second;
  FrameIndex index = kNoFrame;
  if (is_code(node)) {
    auto names = codes_.names(node.code);
    if (!names && !force) return std::nullopt;
    ProfileFrame frame;
    if (names) {
      frame = {.function = names->function, .file = names->file, .first_line = names->first_line};
      frame.line = codes_.line(node.code, node.instruction);
    } else {
      frame.function = frame.file = profile_.strings.add("?");
    }
    if (!is_interpreters_own(frame)) index = add_frame(frame);
    if (!names) return index;  // it may be written later
  } else if (node.code == kNodeNativeFrame) {
    index = native_frame(node.instruction);
  } else {
    ProfileFrame frame;
    frame.kind = ProfileFrameKind::kCut;
    index = add_frame(frame);
  }
  by_instruction_.emplace(key, index);
  return index;
}

// The call that 3.12 and later put below an __init__ they run without C: its code has that word for its file too
// (_Py_InitCleanup, Python/specialize.c).
bool CallTrie::is_interpreters_own(const ProfileFrame& frame) const {
  return profile_.strings.text(frame.file) == "__init__" && profile_.strings.text(frame.function) == "__init__";
}

CallIndex CallTrie::child(CallIndex parent, FrameIndex frame) {
  const std::uint64_t key = std::uint64_t{parent} << 32 | frame;
  const auto [found, is_new] = children_.try_emplace(key, static_cast<CallIndex>(profile_.call_count()));
  if (is_new) {
    profile_.call_parent.push_back(parent);
    profile_.call_frame.push_back(frame);
  }
  return found->second;
}

// Down from the nearest node that is known already. Parents have lower numbers, so that no chain has a ring.
std::optional<CallTrie::Place> CallTrie::place(std::uint32_t node, bool force) {
  path_.clear();
  Place at;
  for (std::uint32_t i = node; i != 0;) {
    if (places_[i].call != kNotResolved) {
      at = places_[i];
      break;
    }
    if (nodes_[i].code == kNodeThread) {
      const bool has_record = nodes_[i].instruction < tables_.header().sections.threads.capacity;
      at.thread = has_record ? static_cast<std::uint32_t>(nodes_[i].instruction) : 0;
      places_[i] = at;
      break;
    }
    path_.push_back(i);
    // A broken chain hangs at the root.
    i = nodes_[i].parent < i ? nodes_[i].parent : 0;
  }
  for (; !path_.empty(); path_.pop_back()) {
    const std::uint32_t i = path_.back();
    const auto frame = frame_of(nodes_[i], force);
    if (!frame) return std::nullopt;
    if (*frame != kNoFrame) at.call = child(at.call, *frame);
    places_[i] = at;
  }
  return at;
}

std::optional<CallTrie::Site> CallTrie::site(std::uint32_t node, bool force) {
  if (node == 0 || node >= nodes_.size() || nodes_[node].code != kNodeAllocator) return std::nullopt;
  const AgentNode& last = nodes_[node];
  const auto found = place(last.parent < node ? last.parent : 0, force);
  if (!found) return std::nullopt;
  const bool known = last.instruction < static_cast<std::uint64_t>(Allocator::kCount);
  return Site{found->call, found->thread, known ? static_cast<Allocator>(last.instruction) : Allocator::kMalloc};
}

}  // namespace memsnap
