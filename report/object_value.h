#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "report/report.h"
#include "snapshot/analysis/node_names.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

inline constexpr std::size_t kValueShown = 80;  // bytes of a value in a list

// What an object says, raw: the kept text of a str, else what is known of a function, frame, class or module. Empty:
// nothing.
std::string value_of(const HeapGraph& graph, const NodeNames& names, NodeIndex node);
// At most `most` bytes of it, whole characters, with three dots when something is left out.
std::string shortened(std::string_view text, std::size_t most);

std::string hexadecimal(std::uint64_t address);  // 0x7f21b0c41d90
// "0x7f21b0c41d90 shop.cart.Session, 48 B, retains 41.0 KiB"
Line& describe_object(Line& line, const HeapGraph& graph, NodeIndex node);

}  // namespace memsnap
