#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "attach/process_memory.h"
#include "inject/control/child_walker.h"
#include "snapshot/cpython/type_table.h"
#include "snapshot/model/heap_graph.h"
#include "snapshot/walk/graph_builder.h"
#include "snapshot/walk/structural_scan.h"

namespace memsnap {

// Type ids of nodes that are no Python objects.
inline constexpr std::uint32_t kThreadTypeId = 0xfffffff0;
inline constexpr std::uint32_t kFrameTypeId = 0xfffffff1;

// What a walk knows while it runs: types, records, and the objects that must be walked again from outside. Serves the
// walker in the child, and is itself the whole walk where no code may run.
class WalkHostState final : public WalkHost {
 public:
  // `subtype_traverse`: tp_traverse of classes made by a class statement, 0 when unknown.
  WalkHostState(const ProcessMemory& memory, const HeapLayout& layout, StringTable& strings, std::uint64_t code_type,
                std::uint64_t subtype_traverse, std::span<const std::uint64_t> running_frames, bool keep_edges,
                std::function<void(std::uint64_t)> on_progress);

  const TypeRecord& resolve(std::uint64_t type) override;
  std::span<const MemberRecord> members() const override { return types_.members(); }
  void words(std::span<const std::uint64_t> stream) override { builder_.words(stream); }
  bool failed(const FailedObject& object, std::uint64_t* type) override;
  void tick(std::uint64_t objects) override { on_progress_(objects); }

  // Walks the failed objects structurally; gives what they refer to, as seeds for the child.
  std::vector<std::uint64_t> rescan_failed();
  // Adds a thread's or a running frame's record; gives what it refers to.
  std::vector<std::uint64_t> add_synthetic(std::uint64_t address, std::uint32_t type_id,
                                           std::span<const std::uint64_t> stream_edges);
  std::vector<std::uint64_t> add_frame(std::uint64_t frame);
  // The closure over `seeds` without a child.
  void walk_structurally(std::vector<std::uint64_t> seeds);
  // Tells the builder of what looks like an object of a known type in `ranges` and was not reached.
  void find_orphans(std::span<const AddressRange> ranges);
  // Static types resolved since the last call: each is an object too.
  std::vector<std::uint64_t> take_new_static_types();

  GraphBuilder& builder() { return builder_; }
  TypeTable& types() { return types_; }
  StructuralScan& scan() { return scan_; }
  std::uint64_t unreadable() const { return unreadable_; }
  std::uint64_t skipped() const { return skipped_; }
  // Blamed types by address: objects whose tp_traverse failed, and why the first did.
  struct Blame {
    std::uint64_t objects = 0;
    std::string first;
  };
  const std::map<std::uint64_t, Blame>& blamed() const { return blamed_; }

 private:
  bool is_structural(const TypeRecord& record) const;
  void find_orphans_in(std::uint64_t begin, std::span<const std::uint64_t> words,
                       const std::unordered_set<std::uint64_t>& types);

  const ProcessMemory& memory_;
  const HeapLayout& layout_;
  TypeTable types_;
  GraphBuilder builder_;
  StructuralScan scan_;
  std::uint64_t subtype_traverse_;
  std::function<void(std::uint64_t)> on_progress_;
  std::unordered_map<std::uint64_t, TypeRecord> records_;  // as given to the child, with our flags
  std::vector<std::uint64_t> failed_;
  std::map<std::uint64_t, Blame> blamed_;
  std::size_t static_types_taken_ = 0;
  std::uint64_t unreadable_ = 0;
  std::uint64_t skipped_ = 0;
};

}  // namespace memsnap
