#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/object_reader.h"

namespace memsnap {

// An attribute of a plain instance, wherever its release keeps it: in a dict, or beside one, by its type's keys.
std::optional<std::uint64_t> find_attribute(const ObjectReader& reader, std::uint64_t object, std::string_view name);

// The value of a name in a module of this interpreter.
std::optional<std::uint64_t> find_in_module(const ObjectReader& reader, const InterpreterState& interpreter,
                                            std::string_view module, std::string_view name);

// threading._active: what pthread_self() said in each thread, and its Thread object.
std::map<std::uint64_t, std::uint64_t> active_threads(const ObjectReader& reader, const InterpreterState& interpreter);

}  // namespace memsnap
