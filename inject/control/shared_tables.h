#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "inject/protocol/agent_abi.h"

namespace memsnap {

// How large the agent's tables are: address space, not memory, until something is written there.
struct TableSizes {
  AgentHeader::Sections sections{};
  std::uint64_t size = 0;  // of all, header included
};
// Tables in steps: 0 is the largest; each takes about a quarter of the one before. `native`: with what native frames
// need.
inline constexpr unsigned kTableSteps = 4;
TableSizes table_sizes(unsigned step, std::uint64_t resident, bool native = false);

// The largest that fit below a limit of the target's address space (RLIMIT_AS). Throws Error kGaveUp, with the numbers,
// when none do.
TableSizes fitting_tables(pid_t pid, std::uint64_t image_size, bool native = false);

// The tables as memsnap holds them: the descriptor, and a view of the first part, the header and the journal.
class SharedTables {
 public:
  // Sizes and seals the file, and writes the header. Throws Error kGaveUp.
  SharedTables(FileDescriptor file, const TableSizes& sizes, const AgentHeader& facts);
  ~SharedTables();
  SharedTables(const SharedTables&) = delete;
  SharedTables& operator=(const SharedTables&) = delete;

  int descriptor() const { return file_.get(); }
  std::uint64_t inode() const { return inode_; }
  std::uint64_t size() const { return size_; }
  // The target writes here too: what counts for us is kept in our own memory.
  AgentHeader& header() { return *header_; }
  const AgentHeader& header() const { return *header_; }

  // What memsnap changed; first written to the journal. False when that is full.
  bool add(std::span<const AgentPatch> patches);
  std::vector<AgentPatch>& patches() { return patches_; }
  const std::vector<AgentPatch>& patches() const { return patches_; }
  void write_journal();  // after their states changed

 private:
  FileDescriptor file_;
  std::uint64_t size_;
  std::uint64_t inode_ = 0;
  std::uint64_t mapped_ = 0;
  AgentHeader* header_ = nullptr;
  AgentPatch* journal_ = nullptr;
  std::uint64_t capacity_ = 0;
  std::vector<AgentPatch> patches_;
};

}  // namespace memsnap
