#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "snapshot/cpython/object_reader.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// Replaces whatever matches one of some POSIX extended regular expressions by "[redacted]".
class Redactor {
 public:
  // Throws Error kUsage for an expression that does not compile.
  explicit Redactor(const std::vector<std::string>& expressions);
  ~Redactor();
  Redactor(const Redactor&) = delete;
  Redactor& operator=(const Redactor&) = delete;
  std::string apply(std::string text) const;

 private:
  std::string apply_to_piece(std::string text) const;
  struct Compiled;
  std::vector<std::unique_ptr<Compiled>> expressions_;
};

struct TextPolicy {
  StringsPolicy policy = StringsPolicy::kNames;
  std::uint32_t prefix = 0;                    // bytes, for kPrefix
  std::array<std::uint64_t, 2> hash_key = {};  // for kHash: secret of the target, not kept
};

// Fills the graph's text columns with the values of str nodes that the policy keeps: kNames those that name something
// (dict keys, attributes, variables, functions, modules, files), kPrefix the first bytes of all others too, kHash a
// keyed hash of all others. `is_text[type]` tells which types are str.
void keep_texts(HeapGraph& graph, const ObjectReader& reader, const std::vector<bool>& is_text,
                const TextPolicy& policy, const Redactor& redactor);

// SipHash-2-4 of `text`, folded to 32 bits.
std::uint32_t keyed_hash(const std::array<std::uint64_t, 2>& key, std::string_view text);

}  // namespace memsnap
