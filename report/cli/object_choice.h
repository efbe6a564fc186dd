#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/cli/command.h"
#include "snapshot/analysis/ownership.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What objects, inspect and roots have in common: the words that say which objects are meant.

// The words of a command line: files, and the object (0x7f21b0c41d90 or @3), which is last.
struct ObjectWords {
  std::vector<std::string> files;
  std::optional<std::string> object;
};
ObjectWords object_words(const std::vector<std::string>& arguments);

// The object that ADDRESS or @N means. Throws Error kUsage; the hint names the object around an address that is none.
NodeIndex object_of_word(const HeapGraph& graph, const std::string& word);

// Throws Error kUsage when no object has such a type. Empty: every type.
std::vector<bool> wanted_types(const HeapGraph& graph, const std::optional<std::string>& type);

// Throws Error when the snapshot has types only, or no analysis.
void require_objects(const Snapshot& snapshot);

// The nodes of `after` that are new since the snapshot `word` means (FILE, PID@-N). Throws Error kUsage for another
// process.
BitSet new_since(const Invocation& invocation, const std::string& word, const Snapshot& after);

}  // namespace memsnap
