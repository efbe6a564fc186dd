#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "inject/protocol/walker_abi.h"

namespace memsnap {

// What is known of a C type by its name `module.qualname`, in whichever releases it has that name.
std::optional<TypeKind> kind_of_known_type(std::string_view name);

// Kind by the subclass bits of tp_flags; kGeneric when they say nothing.
TypeKind kind_of_flags(std::uint64_t flags);

// What the __sizeof__ of numpy's scalars counts beyond basicsize, the value a second time: TypeRecord::extra. 0: no
// scalar.
std::uint32_t numpy_scalar_bytes(std::string_view name);

// True when the walk knows every field of such an object, so that tp_members of its C types would repeat them.
bool has_known_fields(TypeKind kind);

}  // namespace memsnap
