#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "snapshot/capture/call_trie.h"
#include "snapshot/capture/table_reader.h"
#include "snapshot/model/allocation_profile.h"

namespace memsnap {

std::string_view allocator_name(Allocator allocator);  // "malloc", "pymalloc_calloc"; "unknown" beyond the last one

// A recording is bounded: when it has more slices, or changes in them, neighbours become one.
struct SliceLimits {
  std::uint32_t most_slices = 1000;
  std::uint32_t most_changes = 500'000;
  std::uint32_t least_slices = 32;  // for the sake of most_changes it gets no coarser than this
};

// Makes a profile out of what the tables hold at the end of each slice of time.
class SliceRecorder {
 public:
  // `tables` must outlive this.
  explicit SliceRecorder(const TableReader& tables, NativeNames native_names = {}, SliceLimits limits = {});
  ~SliceRecorder() = default;
  SliceRecorder(const SliceRecorder&) = delete;
  SliceRecorder& operator=(const SliceRecorder&) = delete;

  // Ends a slice: what changed since the reading before is of this slice. `rss` 0: not known.
  void add(const TableReading& reading, std::int64_t now_ns, std::uint64_t rss);
  void name_thread(std::uint32_t tid, std::string_view name);

  // The recording up to the last reading. What it counts of stacks that are only half written comes with a later one.
  AllocationProfile profile() const;
  const AllocationProfile& recorded() const { return profile_; }  // the same, until the next reading
  // The same at the end: half-written stacks have to do.
  AllocationProfile finish();

  // By site, 1 + its row in the profile; 0: it has none.
  const std::vector<std::uint32_t>& rows_of_sites() const { return row_of_site_; }

 private:
  // Cumulative, as the tables have it.
  struct Sums {
    std::uint64_t count = 0;  // in 256ths, as the others of counts
    std::uint64_t bytes = 0;
    std::uint64_t samples = 0;
    std::uint64_t temporary = 0;
    LiveBlocks live;
  };

  void assign_rows(const TableReading& reading, bool force);
  std::uint32_t row_of(const CallTrie::Site& site);
  std::uint32_t row_without_stack();
  std::uint32_t add_row(CallIndex call, std::uint32_t thread, std::uint8_t allocator);
  std::vector<Sums> sums_by_row(const TableReading& reading) const;
  void fill_columns(const std::vector<Sums>& now);
  void fill_threads(const TableReading& reading);
  void add_slice(const TableReading& reading, const std::vector<Sums>& now, std::int64_t now_ns, std::uint64_t rss);

  SliceLimits limits_;
  AllocationProfile profile_;
  CallTrie trie_;
  std::vector<std::uint32_t> row_of_site_;  // 1 + row
  std::unordered_map<std::uint64_t, std::uint32_t> row_by_key_;
  std::uint32_t row_without_stack_ = 0;  // 1 + row
  std::vector<Sums> last_;               // by row
  TableReading latest_;
  std::uint64_t peak_bytes_ = 0;
  std::unordered_map<std::uint32_t, StringId> thread_names_;
};

}  // namespace memsnap
