#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "inject/control/agent_mapping.h"
#include "inject/control/shared_tables.h"
#include "inject/control/unwind_rules.h"

namespace memsnap {

using Images = std::vector<std::unique_ptr<ElfImage>>;

// The rules of one library, out of the target's memory: hostile input. No rows: it has none that can be used.
UnwindRows unwind_rules_of(const ElfImage& image, const ProcessMemory& memory);

// Where a thread control block says which memory is the thread's stack: an offset that holds for all the threads given
// here which have such a stack, by what is mapped. 0: there is none.
std::uint32_t thread_stack_offset(std::span<const std::uint64_t> control_blocks, const MemoryMap& map,
                                  const ProcessMemory& memory);

// The part of the stack of the process's first thread where nothing else can be.
AgentCodeRange main_stack(pid_t pid, const MemoryMap& map);

// What the agent needs to follow native stacks: made while the target runs, and added to as libraries come.
class NativeTables {
 public:
  // `python_hex`: loops are looked for by their code where they leave no frame of their own (to 3.11).
  NativeTables(const Images& images, const ProcessMemory& memory, std::uint32_t python_hex);

  struct Agent {
    AgentPlace place;
    std::vector<std::uint64_t> control_blocks;  // of the threads there were
  };
  // Once, when the tables are there. From then on `memory` and `tables` must outlive this.
  void publish(pid_t pid, const Agent& agent, const ProcessMemory& memory, SharedTables& tables);
  // Libraries that came or went. The paths of those that came.
  std::vector<std::string> update(const Images& images);
  // Threads that came, while it is not known where their stacks are. True: it is known now.
  bool find_stacks(pid_t pid);

  std::uint64_t rows() const { return rows_; }
  std::uint32_t libraries() const { return ranges_; }
  // Libraries for whose rules there was no room.
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  struct Library {
    std::string path;
    AgentCodeRange range{};
    UnwindRows rules;
    int rank = 0;  // the lower, the more it is needed
  };
  using Key = std::pair<std::uint64_t, std::string>;
  Library read(const ElfImage& image);
  void find_loops(const ElfImage& image, const Library& library);
  void add(std::vector<Library> libraries);
  bool append(const AgentCodeRange& range, std::span<const AgentRule> rows);
  void tell(std::uint32_t ranges);

  const ProcessMemory* memory_;
  std::uint32_t python_hex_;
  SharedTables* tables_ = nullptr;
  std::vector<Library> waiting_;  // for publish()
  std::vector<AgentCodeRange> loops_;
  std::map<Key, std::optional<std::uint32_t>> known_;  // number of its range
  std::uint64_t rows_ = 0;
  std::uint32_t ranges_ = 0;
  bool stacks_known_ = false;
  std::uint64_t threads_seen_ = 0;
  std::vector<std::string> left_out_;
};

}  // namespace memsnap
