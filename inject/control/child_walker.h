#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attach/cached_memory.h"
#include "attach/frozen_process.h"
#include "attach/memory_map.h"
#include "inject/protocol/walker_abi.h"

namespace memsnap {

// An object at which the child faulted, looped, aborted or asked for a system call.
struct FailedObject {
  std::uint64_t address = 0;
  bool foreign = false;  // in tp_traverse or tp_is_gc, not in our own structural code
  std::string what;      // "signal 11", "system call 62", "no progress for 200 ms"
};

// What the walker needs from outside while it runs.
class WalkHost {
 public:
  virtual ~WalkHost() = default;
  virtual const TypeRecord& resolve(std::uint64_t type) = 0;  // verified; kNotAType when it is none
  virtual std::span<const MemberRecord> members() const = 0;  // grows only
  virtual void words(std::span<const std::uint64_t> stream) = 0;
  // The record in progress is void. True: no more tp_traverse for this object's type, returned in `type`.
  virtual bool failed(const FailedObject& object, std::uint64_t* type) = 0;
  virtual void tick(std::uint64_t objects) = 0;  // progress; throws to cancel
};

// Drives inject/walker inside a frozen child: loads it, feeds seeds and types, drains its stream, survives its faults.
class ChildWalker {
 public:
  // Throws Error kInternal when the child cannot be given memory or code: walk structurally then.
  // `running_frames`: addresses of the interpreter frames that threads run, ascending.
  ChildWalker(FrozenChild& child, const MemoryMap& map, const HeapLayout& layout, std::uint64_t code_type,
              std::span<const std::uint64_t> running_frames, WalkHost& host);

  void walk_seeds(std::span<const std::uint64_t> seeds, bool rescan);
  void walk_lists(std::span<const std::uint64_t> heads, std::uint64_t permanent_index);
  void find_orphans(std::span<const AddressRange> ranges);
  std::uint64_t dropped() const { return read_control().dropped; }  // references to what is no object

 private:
  static constexpr std::size_t kBufferBytes = 4u << 20;
  struct FullBuffer {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  void map_memory();
  void write_directory(const MemoryMap& map);
  std::uint64_t map_words(std::span<const std::uint64_t> words);
  void run();
  bool handle_trap(std::optional<FullBuffer>* full);
  void handle_failure(const ChildStop& stop);
  void blame(const WalkerControl& now, const ChildStop& stop);
  bool out_of_time();
  void add_type(std::uint64_t type);
  void put_type(const TypeRecord& record);
  void grow_types();
  void use_buffer(std::size_t index);
  void drain(std::uint64_t begin, std::uint64_t end);
  WalkerControl read_control() const;
  template <class T>
  void set(T WalkerControl::*field, T value);

  FrozenChild& child_;
  LiveMemory memory_;
  WalkHost& host_;
  std::uint64_t control_ = 0;
  std::uint64_t entry_ = 0;
  std::uint64_t stack_top_ = 0;
  std::array<std::uint64_t, 2> buffers_{};
  std::size_t buffer_ = 0;
  std::uint64_t taken_ = 0;  // up to where the stream in this buffer was drained
  std::uint64_t types_ = 0;
  std::vector<TypeRecord> table_;  // the same slots as the child's table
  std::size_t type_count_ = 0;
  std::uint64_t members_ = 0;
  std::size_t members_written_ = 0;
  std::vector<std::uint64_t> scratch_;
  // When the child last got on, and when it began its present object.
  WalkerControl last_{};
  std::uint64_t drained_ = 0;  // bytes of the stream taken so far
  std::uint64_t last_emitted_ = 0;
  std::chrono::steady_clock::time_point last_change_{};
  std::chrono::steady_clock::time_point object_began_{};
  std::uint64_t failures_ = 0;
};

}  // namespace memsnap
