#include "inject/agent/tables.h"

#include "inject/agent/recorder.h"
#include "inject/agent/sampler.h"
#include "inject/agent/stack_trie.h"

namespace memsnap::agent {

constinit Tables tables{};

namespace {

template <class T>
T* section(const AgentSection& at) {
  return reinterpret_cast<T*>(config.shared + at.offset);
}

// Two threads may do this at once: both write the same.
bool open_tables() {
  auto* const header = reinterpret_cast<AgentHeader*>(config.shared);
  if (header == nullptr || header->magic != kAgentMagic || header->abi != kAgentAbiVersion) return false;
  const AgentHeader::Sections& at = header->sections;
  tables.header = header;
  tables.threads = section<AgentThread>(at.threads);
  tables.thread_mask = at.thread_hash.capacity - 1;
  tables.thread_capacity = at.threads.capacity;
  tables.scratch = config.shared + at.scratch.offset;
  tables.nodes = section<AgentNode>(at.nodes);
  tables.counts = section<AgentCounts>(at.counts);
  tables.node_capacity = at.nodes.capacity < kMostSites ? at.nodes.capacity : kMostSites;
  tables.node_hash = section<std::uint32_t>(at.node_hash);
  tables.node_mask = at.node_hash.capacity - 1;
  tables.codes = section<AgentCode>(at.codes);
  tables.code_capacity = at.codes.capacity;
  tables.code_hash = section<std::uint32_t>(at.code_hash);
  tables.code_mask = at.code_hash.capacity - 1;
  tables.texts = config.shared + at.texts.offset;
  tables.text_capacity = at.texts.capacity;
  tables.roots = section<std::uint32_t>(at.roots);
  tables.root_count = at.roots.capacity < kRootCount ? at.roots.capacity : kRootCount;
  tables.leaves = section<std::uint64_t>(at.leaves);
  tables.leaf_capacity = at.leaves.capacity;
  tables.period = config.period;
  tables.rules = section<AgentRule>(at.rules);
  tables.rule_capacity = at.rules.capacity;
  tables.ranges = section<AgentRuleRange>(at.rule_ranges);
  tables.range_capacity = at.rule_ranges.capacity;
  tables.native_scratch = config.shared + at.native_scratch.offset;
  tables.native = config.native != 0 && at.native_scratch.capacity >= at.threads.capacity * kAgentNativeScratch;
  tables.depth = control().depth < kMostFrames ? control().depth : kMostFrames;
  tables.mem_from_malloc = tables.object_from_malloc = ~std::uint64_t{0};
  tables.exact = config.period <= 1;
  tables.codes_unseen =
      tables.exact && (header->allocators & 1u << static_cast<unsigned>(Allocator::kPymallocMalloc)) == 0;
  choose_recorder();
  store_release(&tables.thread_hash, section<std::uint64_t>(at.thread_hash));
  return true;
}

ThreadCache* prepare(std::uint64_t number, std::uint32_t tid) {
  AgentThread& record = tables.threads[number];
  ThreadCache* const cache = cache_of(number);
  cache->record = &record;
  cache->known[0] = {.frame = kNoFrame, .key = 0};
  cache->random = mixed(__builtin_ia32_rdtsc() ^ static_cast<std::uint64_t>(tid) << 32) | 1;
  cache->countdown = draw(cache->random, tables.period);
  record.tid = tid;
  record.control_block = control_block();
  record.node = cache->node[0] = node_of(0, kNodeThread, number);
  store_release(&record.state, 1u);
  return record.node == 0 ? nullptr : cache;
}

// Record 0. Whoever comes first prepares it; the others do the same or find it done.
ThreadCache* shared_record() {
  if (load_acquire(&tables.threads[0].state) == 0) return prepare(0, 0);
  return cache_of(0);
}

}  // namespace

ThreadCache* new_thread(std::uint32_t tid) {
  if (tables.thread_hash == nullptr && !open_tables()) return nullptr;
  constexpr std::uint64_t kMostProbes = 256;
  std::uint64_t number = 0;
  for (std::uint64_t probe = 0; probe < kMostProbes; ++probe) {
    std::uint64_t* const at = tables.thread_hash + ((tid + probe) & tables.thread_mask);
    std::uint64_t entry = load_acquire(at);
    if (entry == 0) {
      if (number == 0) {
        number = next_number(&tables.header->thread_count, tables.thread_capacity);
        if (number == 0 || prepare(number, tid) == nullptr) return shared_record();
      }
      const std::uint64_t mine = static_cast<std::uint64_t>(tid) << 32 | number;
      if (__atomic_compare_exchange_n(at, &entry, mine, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        return cache_of(number);
    }
    if (entry >> 32 == tid) return cache_of(entry & 0xffffffff);
  }
  return shared_record();
}

}  // namespace memsnap::agent
