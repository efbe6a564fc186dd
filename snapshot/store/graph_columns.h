#pragma once

#include "snapshot/model/heap_graph.h"
#include "snapshot/store/container.h"

namespace memsnap {

// Each writes or reads one part or the few that belong together. Readers check every number against the columns read
// before (in the order below) and throw Error kBadFile when one does not fit.
void write_types(ContainerWriter& out, const HeapGraph& graph);
void write_strings(ContainerWriter& out, const StringTable& strings);
void write_roots(ContainerWriter& out, const HeapGraph& graph);
void write_nodes(ContainerWriter& out, const HeapGraph& graph);  // type, size, flags
void write_addresses(ContainerWriter& out, const HeapGraph& graph);
void write_edges(ContainerWriter& out, const HeapGraph& graph);       // number, labels, targets
void write_dominators(ContainerWriter& out, const HeapGraph& graph);  // dominator, retained
void write_texts(ContainerWriter& out, const HeapGraph& graph);       // kept texts, hashes
void write_sites(ContainerWriter& out, const HeapGraph& graph);

void read_types(ContainerReader& in, HeapGraph& graph, bool with_strings);
void read_strings(ContainerReader& in, HeapGraph& graph);
void read_nodes(ContainerReader& in, HeapGraph& graph);
void read_roots(ContainerReader& in, HeapGraph& graph);
void read_addresses(ContainerReader& in, HeapGraph& graph);
void read_edges(ContainerReader& in, HeapGraph& graph);
void read_dominators(ContainerReader& in, HeapGraph& graph);
void read_texts(ContainerReader& in, HeapGraph& graph);
void read_sites(ContainerReader& in, HeapGraph& graph);

}  // namespace memsnap
