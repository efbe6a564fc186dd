#include "snapshot/session/native_memory.h"

#include "snapshot/memory/native_blocks.h"
#include "snapshot/model/insert_nodes.h"

namespace memsnap {

void add_native_memory(Snapshot& snapshot, std::vector<Root>& late_roots, const ProcessMemory& memory,
                       const HeapLayout& layout, const MallocUse& use) {
  HeapGraph& graph = snapshot.graph;
  SnapshotHeader& header = snapshot.header;
  NativeBlocks native = find_native_blocks(memory, memory, graph, layout, use);
  if (native.blocks != 0) {
    TypeEntry type;
    type.name = graph.strings.add(kNativeTypeName);
    native.nodes.type = static_cast<TypeId>(graph.types.size());
    graph.types.push_back(type);
    if (!insert_nodes(graph, native.nodes, late_roots)) {
      header.warnings.emplace_back("native memory was left out: too many blocks");
      return;
    }
  }
  header.native_blocks = native.blocks;
  header.native_bytes = native.bytes;
  header.unowned_blocks = native.unowned_blocks;
  header.unowned_bytes = native.unowned_bytes;
}

}  // namespace memsnap
