#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "snapshot/capture/code_texts.h"
#include "snapshot/capture/table_reader.h"
#include "snapshot/model/allocation_profile.h"

namespace memsnap {

struct NativeName {
  std::string function;
  std::string file;
  std::uint32_t line = 0;
  bool hidden = false;  // the interpreter's own machinery, which the Python frames stand for, or an allocator's
};
// What lies at a return address of the target; no function: nothing is known.
using NativeNames = std::function<NativeName(std::uint64_t return_address)>;

// Turns the agent's trie (thread, instructions, allocator) into frames and the call tree of a profile: instructions of
// one line are one frame, and threads share the tree.
class CallTrie {
 public:
  // All must outlive this.
  CallTrie(const TableReader& tables, AllocationProfile& profile, NativeNames native_names);

  void refresh();  // takes in what the agent has written since

  struct Site {
    CallIndex call = 0;
    std::uint32_t thread = 0;  // record
    Allocator allocator = Allocator::kMalloc;
  };
  // Empty: a code of its stack is not written yet (never so with `force`), or the node is no site.
  std::optional<Site> site(std::uint32_t node, bool force);

 private:
  struct Place {
    CallIndex call = 0;
    std::uint32_t thread = 0;
  };
  static constexpr std::uint32_t kNotResolved = 0xffffffff;

  std::optional<Place> place(std::uint32_t node, bool force);
  std::optional<FrameIndex> frame_of(const AgentNode& node, bool force);  // kNoFrame: shown to nobody
  bool is_interpreters_own(const ProfileFrame& frame) const;
  FrameIndex native_frame(std::uint64_t address);
  FrameIndex add_frame(const ProfileFrame& frame);
  CallIndex child(CallIndex parent, FrameIndex frame);

  const TableReader& tables_;
  AllocationProfile& profile_;
  NativeNames native_names_;
  CodeTexts codes_;
  std::vector<AgentNode> nodes_;
  std::vector<Place> places_;  // by node; call kNotResolved: not yet
  std::vector<std::uint32_t> path_;

  struct InstructionHash {
    std::size_t operator()(const std::pair<std::uint64_t, std::uint32_t>& key) const;
  };
  struct FrameHash {
    std::size_t operator()(const ProfileFrame& frame) const;
  };
  std::unordered_map<std::pair<std::uint64_t, std::uint32_t>, FrameIndex, InstructionHash> by_instruction_;
  std::unordered_map<ProfileFrame, FrameIndex, FrameHash> by_frame_;
  std::unordered_map<std::uint64_t, CallIndex> children_;  // parent << 32 | frame
};

}  // namespace memsnap
