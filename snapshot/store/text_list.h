#pragma once

#include "snapshot/model/string_table.h"
#include "snapshot/store/container.h"

namespace memsnap {

// A part that holds texts, each once, the empty one first: so the ids are those that were written. Reading checks every
// length and throws Error kBadFile.
void write_text_list(ContainerWriter& out, std::uint32_t part, const StringTable& strings);
StringTable read_text_list(ContainerReader& in, std::uint32_t part);

}  // namespace memsnap
