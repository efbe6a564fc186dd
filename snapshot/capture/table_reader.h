#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inject/protocol/agent_abi.h"
#include "snapshot/capture/shared_memory.h"

namespace memsnap {

// Live blocks of one site: an estimate where blocks were sampled.
struct LiveBlocks {
  std::uint64_t count = 0;  // in 256ths
  std::uint64_t bytes = 0;
};

// The agent's tables at one moment. Live blocks are read before the totals, so that no site has more live than it had
// allocations, but for what was freed or allocated in between.
struct TableReading {
  std::vector<LiveBlocks> live;      // by site
  std::vector<AgentCounts> totals;   // by site; may have more entries than `live`, or fewer
  std::vector<AgentThread> threads;  // by record
  AgentLost lost{};
  std::uint64_t blocks = 0;        // live ones, as recorded
  std::uint64_t unknown_site = 0;  // of them: with a site that the tables do not have
  LiveBlocks unknown;              // the same
  LiveBlocks all;                  // with the unknown ones
  double variance = 0;             // of the estimate of all.bytes
};

// What one recorded block of `size` bytes stands for when a byte in `period` is sampled: so many blocks, in 256ths.
std::uint64_t sampled_count(std::uint64_t size, std::uint64_t period);

struct ShadowRoot {
  std::uint32_t mib = 0;  // address >> kLeafShift
  std::uint32_t leaf = 0;
};

// Reads the agent's tables from outside, at any moment, also when the target is gone. Everything in them is hostile:
// every number is checked against the sections, and these against the memory.
class TableReader {
 public:
  // Throws Error kBadFile when this is not the memory of an agent that this memsnap understands.
  explicit TableReader(FileDescriptor file);

  const AgentHeader& header() const { return header_; }  // as it was when the reader was made
  std::uint64_t period() const { return header_.period == 0 ? 1 : header_.period; }
  const SharedMemory& memory() const { return memory_; }

  TableReading read() const;
  AgentLost lost() const;
  // All nodes given out so far; what was never written is zero.
  std::vector<AgentNode> nodes() const;
  std::uint32_t code_count() const;
  // From `first` on, in order; those not ready yet too.
  std::vector<AgentCode> codes(std::uint32_t first) const;
  // At most kAgentTextMost bytes. Empty when they do not lie within the texts.
  std::vector<std::uint8_t> text(std::uint64_t offset, std::uint64_t length) const;

  // For looking up single blocks: the MiB of addresses that have a leaf, ascending, no more than there may be leaves;
  // and the words of a leaf, kLeafWords of them, or none when there is no such leaf.
  std::vector<ShadowRoot> roots() const;
  std::vector<std::uint64_t> leaf(std::uint32_t number) const;

 private:
  std::uint32_t count(std::uint64_t offset_in_header, const AgentSection& section) const;
  template <typename T>
  std::vector<T> items(const AgentSection& section, std::uint64_t first, std::uint64_t end) const;
  void read_live(TableReading& reading) const;
  void add_words(std::span<const std::byte> bytes, TableReading& reading) const;
  void read_totals(TableReading& reading) const;

  SharedMemory memory_;
  AgentHeader header_{};
};

}  // namespace memsnap
