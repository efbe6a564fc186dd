#include "snapshot/analysis/diff.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace memsnap {
namespace {

HeapGraph random_graph(std::mt19937& random) {
  HeapGraph graph;
  for (const char* name : {"a", "b", "c", "a"}) {  // two types of one name
    TypeEntry type;
    type.name = graph.strings.add(name);
    graph.types.push_back(type);
  }
  for (std::uint64_t address = 16; address < 16 * 200; address += 16) {
    if (random() % 3 == 0) continue;
    const auto type = static_cast<TypeId>(random() % 4);
    const std::uint64_t size = 16 + random() % 100;
    if (random() % 4 == 0) {
      graph.hash_node.push_back(static_cast<NodeIndex>(graph.type.size()));
      graph.text_hash.push_back(static_cast<std::uint32_t>(random() % 2));
    }
    graph.address.push_back(address);
    graph.type.push_back(type);
    graph.size.push_back(size);
    graph.flags.push_back(0);
    ++graph.types[type].count;
    graph.types[type].size += size;
  }
  return graph;
}

struct Object {
  std::string type;
  std::uint64_t size = 0;
  int hash = -1;
};

std::map<std::uint64_t, Object> objects_of(const HeapGraph& graph) {
  std::map<std::uint64_t, Object> objects;
  for (NodeIndex i = 0; i < graph.node_count(); ++i) {
    objects[graph.address[i]] = {std::string(graph.type_name(i)), graph.size[i], -1};
  }
  for (std::size_t i = 0; i < graph.hash_node.size(); ++i) {
    objects[graph.address[graph.hash_node[i]]].hash = static_cast<int>(graph.text_hash[i]);
  }
  return objects;
}

TEST(Diff, objects_and_types_are_those_of_a_comparison_by_maps) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const HeapGraph before = random_graph(random);
    const HeapGraph after = random_graph(random);
    const auto old_objects = objects_of(before);
    const auto new_objects = objects_of(after);
    std::uint64_t surviving = 0;
    std::uint64_t grown = 0;
    std::map<std::string, std::int64_t> delta;
    for (const auto& [address, object] : old_objects) delta[object.type] -= static_cast<std::int64_t>(object.size);
    for (const auto& [address, object] : new_objects) {
      delta[object.type] += static_cast<std::int64_t>(object.size);
      const auto old = old_objects.find(address);
      if (old == old_objects.end() || old->second.type != object.type) continue;
      if (old->second.hash < 0 || object.hash < 0 || old->second.hash == object.hash) {
        ++surviving;
        if (object.size > old->second.size) grown += object.size - old->second.size;
      }
    }

    const ObjectChanges changes = diff_objects(before, after);
    const std::vector<Change> types = diff_types(before, after);

    const BitSet added = added_objects(before, after);
    std::uint64_t bits = 0;
    for (NodeIndex node = 0; node < after.node_count(); ++node) bits += added.test(node) ? 1u : 0u;

    EXPECT_EQ(bits, changes.added.count);
    EXPECT_EQ(changes.grown.size, grown);
    EXPECT_EQ(changes.surviving.count, surviving);
    EXPECT_EQ(changes.gone.count, old_objects.size() - surviving);
    EXPECT_EQ(changes.added.count, new_objects.size() - surviving);
    ASSERT_EQ(types.size(), delta.size());
    for (const Change& type : types) EXPECT_EQ(type.size_delta(), delta[type.name]) << type.name;
  }
}

}  // namespace
}  // namespace memsnap
