#include "snapshot/analysis/waste.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/unit/analysis/fake_graph.h"

namespace memsnap {
namespace {

struct Saved {
  std::uint64_t count, bytes;
  bool operator==(const Saved&) const = default;
};

class Waste : public testing::Test {
 protected:
  void container(const std::string& type, std::uint64_t size, int items, Label label) {
    const NodeIndex node = graph_.node(type, size);
    for (int i = 0; i < items; ++i) graph_.edge(node, item_, EdgeLabel::of(label));
  }
  std::map<std::string, Saved> found() {
    Snapshot snapshot;
    snapshot.graph = graph_.build();
    snapshot.header.duplicates = {{"builtins.str", 7, 900}};
    std::map<std::string, Saved> saved;
    for (const NamedCount& one : find_waste(snapshot)) saved[one.name] = {one.count, one.bytes};
    return saved;
  }
  FakeGraph graph_;
  NodeIndex item_ = graph_.node("builtins.object", 16);
};

TEST_F(Waste, DuplicatesAreThoseOfTheHeader) { EXPECT_EQ(found()["duplicate str"], (Saved{7, 900})); }

TEST_F(Waste, DictWithoutEntriesIsEmpty) {
  container("builtins.dict", 64, 0, Label::kKey);
  container("builtins.dict", 352, 0, Label::kKey);
  container("shop.Dict", 352, 0, Label::kKey);

  EXPECT_EQ(found()["empty dicts"], (Saved{2, 416}));
}

// sys.getsizeof() of dicts of 3.8 (232, 36,960 bytes) and 3.12 (184 for str keys).
TEST_F(Waste, TableMuchTooLargeIsSparse) {
  const std::uint64_t large = 64 + 40 + 2048 * 2 + 1365 * 24;  // 2,048 slots, to 3.10
  container("builtins.dict", large, 3, Label::kKey);
  container("builtins.dict", large, 1365, Label::kKey);   // full
  container("builtins.dict", large, 700, Label::kKey);    // as growing leaves it
  container("builtins.dict", large + 8, 3, Label::kKey);  // no table has that size
  const std::uint64_t least = 64 + 40 + 8 + 5 * 24;
  EXPECT_EQ(least, 232u);
  const std::uint64_t texts = 64 + 32 + 64 + 42 * 16;  // 64 slots, 3.12, str keys
  container("builtins.dict", texts, 4, Label::kKey);
  const std::uint64_t least_texts = 64 + 32 + 8 + 5 * 16;
  EXPECT_EQ(least_texts, 184u);

  EXPECT_EQ(found()["sparse dicts"], (Saved{2, large - least + texts - least_texts}));
}

TEST_F(Waste, ListWithMuchRoomIsOverAllocated) {
  container("builtins.list", 56 + 8 * 100, 10, Label::kItem);
  container("builtins.list", 56 + 8 * 100, 90, Label::kItem);
  container("builtins.list", 56, 0, Label::kItem);
  container("builtins.list", 8, 0, Label::kItem);  // forged

  EXPECT_EQ(found()["over-allocated lists"], (Saved{1, 8 * 90}));
}

TEST_F(Waste, SetOfOneCouldBeATuple) {
  container("builtins.set", 216 + 16, 1, Label::kItem);
  container("builtins.set", 216 + 16, 2, Label::kItem);

  EXPECT_EQ(found()["one-entry sets"], (Saved{1, 168}));
}

TEST_F(Waste, AbsurdSizesAreNoWaste) {
  container("builtins.dict", ~std::uint64_t{0}, 3, Label::kKey);
  container("builtins.dict", 1, 3, Label::kKey);

  EXPECT_EQ(found().count("sparse dicts"), 0u);
}

}  // namespace
}  // namespace memsnap
