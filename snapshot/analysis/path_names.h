#pragma once

#include <cstddef>
#include <string>

#include "snapshot/analysis/node_names.h"
#include "snapshot/analysis/paths.h"

namespace memsnap {

std::string root_name(const HeapGraph& graph, const Root& root);  // "module shop.cart"
// How step `step` of a path is held by the one before: ".name", "['key']", "[3]"; empty for the first.
std::string step_label(const HeapGraph& graph, const NodeNames& names, const Path& path, std::size_t step);
// The whole of it in one text: "module shop.cart.CACHE['k']". Long ones lose their middle.
std::string path_text(const HeapGraph& graph, const NodeNames& names, const Path& path);

}  // namespace memsnap
