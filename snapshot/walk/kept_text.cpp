#include "snapshot/walk/kept_text.h"

#include <fmt/format.h>
#include <regex.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "attach/base/error.h"

namespace memsnap {
namespace {

constexpr std::size_t kNameLimit = 256;       // bytes kept of a name
constexpr std::size_t kHashLimit = 1u << 20;  // characters hashed of a text
constexpr std::size_t kRedactReach = 1024;    // characters
constexpr std::string_view kReplacement = "[redacted]";

bool names_its_owner(std::string_view field) {
  return field == "__name__" || field == "__qualname__" || field == "co_name" || field == "co_qualname" ||
         field == "co_filename";
}

// The dict of interned texts has each as key and value: there it names nothing but itself.
bool names_itself(const HeapGraph& graph, std::size_t edge) {
  const EdgeLabel label = graph.edge_label[edge];
  const NodeIndex target = graph.edge_target[edge];
  if (label.has_node()) return label.payload() == target;
  return label.kind() == Label::kKey && edge + 1 < graph.edge_count() &&
         graph.edge_label[edge + 1].kind() == Label::kValue && graph.edge_target[edge + 1] == target;
}

// Nodes whose text is a name, by the edges that lead to them.
std::vector<bool> find_names(const HeapGraph& graph) {
  std::vector<bool> is_name(graph.node_count());
  std::vector<bool> naming_field(graph.strings.size());
  for (StringId id = 0; id < graph.strings.size(); ++id) naming_field[id] = names_its_owner(graph.strings.text(id));
  for (std::size_t edge = 0; edge < graph.edge_count(); ++edge) {
    const EdgeLabel label = graph.edge_label[edge];
    if (names_itself(graph, edge)) continue;
    if (label.has_node() && label.payload() < is_name.size()) is_name[label.payload()] = true;
    const bool field = label.kind() == Label::kField && !label.has_node() && label.payload() < naming_field.size() &&
                       naming_field[label.payload()];
    if (field || label.kind() == Label::kKey) is_name[graph.edge_target[edge]] = true;
  }
  return is_name;
}

std::string cut(std::string text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;  // not inside a character
  text.resize(bytes);
  return text;
}

}  // namespace

struct Redactor::Compiled {
  regex_t regex{};
  Compiled() = default;
  ~Compiled() { regfree(&regex); }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
};

Redactor::Redactor(const std::vector<std::string>& expressions) {
  for (const std::string& expression : expressions) {
    auto compiled = std::make_unique<Compiled>();
    const int error = regcomp(&compiled->regex, expression.c_str(), REG_EXTENDED);
    if (error != 0) {
      std::array<char, 256> text{};
      regerror(error, &compiled->regex, text.data(), text.size());
      throw Error(ExitCode::kUsage, fmt::format("--redact '{}': {}", expression, text.data()),
                  "give a POSIX extended regular expression, as grep -E takes");
    }
    expressions_.push_back(std::move(compiled));
  }
}

Redactor::~Redactor() = default;

// What was replaced before stays, so that a text may pass here again.
std::string Redactor::apply(std::string text) const {
  std::string result;
  for (std::size_t at = 0;;) {
    const std::size_t mark = text.find(kReplacement, at);
    result += apply_to_piece(text.substr(at, mark - at));
    if (mark == std::string::npos) return result;
    result += kReplacement;
    at = mark + kReplacement.size();
  }
}

std::string Redactor::apply_to_piece(std::string text) const {
  for (const auto& expression : expressions_) {
    std::string result;
    const char* rest = text.c_str();
    regmatch_t match{};
    int flags = 0;
    while (*rest != 0 && regexec(&expression->regex, rest, 1, &match, flags) == 0) {
      result.append(rest, static_cast<std::size_t>(match.rm_so));
      if (match.rm_eo == match.rm_so) {  // an empty match: step over one character
        result.push_back(rest[match.rm_so]);
        rest += match.rm_so + 1;
      } else {
        result += kReplacement;
        rest += match.rm_eo;
      }
      flags = REG_NOTBOL;
      if (rest > text.c_str() + text.size()) break;
    }
    result += rest;
    text = std::move(result);
  }
  return text;
}

void keep_texts(HeapGraph& graph, const ObjectReader& reader, const std::vector<bool>& is_text,
                const TextPolicy& policy, const Redactor& redactor) {
  if (policy.policy == StringsPolicy::kNone) return;
  const std::vector<bool> is_name = find_names(graph);
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (!is_text[graph.type[node]]) continue;
    const bool hash = policy.policy == StringsPolicy::kHash;
    const bool prefix = policy.policy == StringsPolicy::kPrefix;
    if (!is_name[node] && !hash && !prefix) continue;
    // Read further than is kept, so that a match of --redact is seen whole.
    const std::size_t limit = hash ? kHashLimit : kRedactReach + (is_name[node] ? kNameLimit : policy.prefix);
    auto text = reader.text(graph.address[node], limit);
    if (!text) continue;
    if (hash) {
      graph.hash_node.push_back(node);
      graph.text_hash.push_back(keyed_hash(policy.hash_key, *text));
    }
    if (!is_name[node] && !prefix) continue;
    const std::string kept = cut(redactor.apply(std::move(*text)), is_name[node] ? kNameLimit : policy.prefix);
    graph.text_node.push_back(node);
    graph.text.push_back(graph.strings.add(kept));
  }
}

std::uint32_t keyed_hash(const std::array<std::uint64_t, 2>& key, std::string_view text) {
  std::uint64_t v0 = key[0] ^ 0x736f6d6570736575, v1 = key[1] ^ 0x646f72616e646f6d;
  std::uint64_t v2 = key[0] ^ 0x6c7967656e657261, v3 = key[1] ^ 0x7465646279746573;
  const auto rounds = [&](int count) {
    for (int i = 0; i < count; ++i) {
      v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
      v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
    }
  };
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    v3 ^= word, rounds(2), v0 ^= word;
  }
  std::uint64_t last = static_cast<std::uint64_t>(text.size()) << 56;
  std::memcpy(&last, text.data() + at, text.size() - at);
  v3 ^= last, rounds(2), v0 ^= last;
  v2 ^= 0xff, rounds(4);
  const std::uint64_t hash = v0 ^ v1 ^ v2 ^ v3;
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

}  // namespace memsnap
