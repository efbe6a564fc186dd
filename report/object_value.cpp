#include "report/object_value.h"

#include <fmt/format.h>

#include <algorithm>

namespace memsnap {

std::string value_of(const HeapGraph& graph, const NodeNames& names, NodeIndex node) {
  const std::string_view text = graph.text_of(node);
  return text.empty() ? names.describe(node) : std::string(text);
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  std::size_t end = 0;
  for (std::size_t length = 0; end < most; end += length) {
    length = std::max<std::size_t>(utf8_sequence_length(text.substr(end)), 1);
    if (end + length > most) break;
  }
  return std::string(text.substr(0, end)) + "...";
}

std::string hexadecimal(std::uint64_t address) { return fmt::format("{:#x}", address); }

Line& describe_object(Line& line, const HeapGraph& graph, NodeIndex node) {
  line.text(hexadecimal(graph.address[node]) + " ").type(std::string(graph.type_name(node)));
  return line.text(", ").bytes(graph.size[node]).text(", retains ").bytes(graph.retained[node]);
}

}  // namespace memsnap
