#include "snapshot/store/header_json.h"

#include <array>

#include "snapshot/store/json.h"

namespace memsnap {
namespace {

constexpr std::array<std::string_view, 4> kKinds{"heap", "types", "allocations", "session"};
constexpr std::array<std::string_view, 4> kPolicies{"none", "names", "prefix", "hash"};

template <std::size_t N>
std::optional<std::uint8_t> index_of(const std::array<std::string_view, N>& words, std::string_view word) {
  for (std::size_t i = 0; i < N; ++i) {
    if (words[i] == word) return static_cast<std::uint8_t>(i);
  }
  return std::nullopt;
}

// One list of the fields for both directions: `Io` writes them or reads them.
template <typename Io, typename Header>
void each_field(Io& io, Header& header) {
  io("tool_version", header.tool_version);
  io("taken_at_ns", header.taken_at_ns);
  io("strings_prefix", header.strings_prefix);
  io("redacted", header.redacted);
  io("method", header.method);
  io("fallback_reason", header.fallback_reason);
  io("consistent", header.consistent);
  io("partial", header.partial);
  io("during_collection", header.during_collection);
  io("target_ended", header.target_ended);
  io("pause_ms", header.pause_ms);
  io("walk_ms", header.walk_ms);
  io("walk_cpu_ms", header.walk_cpu_ms);
  io("child_cpu_ms", header.child_cpu_ms);
  io("objects", header.objects);
  io("edges", header.edges);
  io("bytes", header.bytes);
  io("unreadable", header.unreadable);
  io("skipped", header.skipped);
  io("orphans", header.orphans);
  io("orphan_bytes", header.orphan_bytes);
  io("native_blocks", header.native_blocks);
  io("native_bytes", header.native_bytes);
  io("unowned_blocks", header.unowned_blocks);
  io("unowned_bytes", header.unowned_bytes);
  io("skipped_types", header.skipped_types);
  io("python_sizeof_types", header.python_sizeof_types);
  io("warnings", header.warnings);
  io("duplicates", header.duplicates);
  io("suspects", header.suspects);
}

template <typename Io, typename Target>
void each_target_field(Io& io, Target& target) {
  io("pid", target.pid);
  io("start_time", target.start_time);
  io("host", target.host);
  io("name", target.name);
  io("command_line", target.command_line);
  io("executable", target.executable);
  io("user", target.user);
  io("container", target.container);
  io("python", target.python);
  io("python_hex", target.python_hex);
  io("uptime_seconds", target.uptime_seconds);
  io("threads", target.threads);
}

template <typename Io, typename Memory>
void each_memory_field(Io& io, Memory& memory) {
  io("rss", memory.rss);
  io("pss", memory.pss);
  io("uss", memory.uss);
  io("python_objects", memory.python_objects);
  io("parts", memory.parts);
  io("allocator", memory.allocator);
  io("trimmable", memory.trimmable);
  io("pymalloc_arenas", memory.pymalloc_arenas);
  io("pymalloc_resident", memory.pymalloc_resident);
  io("native_blocks", memory.native_blocks);
  io("damaged", memory.damaged);
  io("parts_ms", memory.parts_ms);
  io("parts_cpu_ms", memory.parts_cpu_ms);
}

template <typename Io, typename Core>
void each_core_field(Io& io, Core& core) {
  io("file", core.file);
  io("signal", core.signal);
  io("signal_thread", core.signal_thread);
  io("fault_address", core.fault_address);
  io("bytes_cut_off", core.bytes_cut_off);
}

template <typename Io, typename Note>
void each_tracking_field(Io& io, Note& note) {
  io("end", note.end);
  io("group", note.group);
  io("forked_from", note.forked_from);
  io("overhead", note.overhead);
  io("left_behind", note.left_behind);
}

template <typename Io, typename One>
void each_suspect_field(Io& io, One& suspect) {
  io("path", suspect.path);
  io("type", suspect.type);
  io("address", suspect.address);
  io("retained", suspect.retained);
  io("crowd_type", suspect.crowd_type);
  io("crowd_count", suspect.crowd_count);
  io("crowd_retained", suspect.crowd_retained);
}

class FieldWriter {
 public:
  explicit FieldWriter(JsonWriter& json) : json_(json) {}

  void operator()(std::string_view name, const std::string& value) { json_.key(name).text(value); }
  void operator()(std::string_view name, bool value) { json_.key(name).boolean(value); }
  void operator()(std::string_view name, double value) { json_.key(name).number(value); }
  void operator()(std::string_view name, std::int64_t value) { json_.key(name).number(value); }
  void operator()(std::string_view name, std::int32_t value) { json_.key(name).number(std::int64_t{value}); }
  void operator()(std::string_view name, std::uint64_t value) { json_.key(name).number(value); }
  void operator()(std::string_view name, std::uint32_t value) { json_.key(name).number(std::uint64_t{value}); }
  void operator()(std::string_view name, const std::vector<std::string>& values) {
    json_.key(name).begin_array();
    for (const std::string& value : values) json_.text(value);
    json_.end_array();
  }
  void operator()(std::string_view name, const std::vector<NamedCount>& values) {
    json_.key(name).begin_array();
    for (const NamedCount& value : values) {
      json_.begin_object();
      (*this)("name", value.name);
      (*this)("count", value.count);
      (*this)("bytes", value.bytes);
      json_.end_object();
    }
    json_.end_array();
  }
  void operator()(std::string_view name, const std::vector<MemoryPart>& values) {
    json_.key(name).begin_array();
    for (const MemoryPart& value : values) {
      json_.begin_object();
      (*this)("name", value.name);
      (*this)("bytes", value.bytes);
      json_.end_object();
    }
    json_.end_array();
  }
  void operator()(std::string_view name, const std::vector<Suspect>& values) {
    json_.key(name).begin_array();
    for (const Suspect& value : values) {
      json_.begin_object();
      each_suspect_field(*this, value);
      json_.end_object();
    }
    json_.end_array();
  }

 private:
  JsonWriter& json_;
};

class FieldReader {
 public:
  explicit FieldReader(const JsonValue& json) : json_(json) {}

  void operator()(std::string_view name, std::string& value) { value = json_[name].text(); }
  void operator()(std::string_view name, bool& value) { value = json_[name].boolean(value); }
  void operator()(std::string_view name, double& value) { value = json_[name].real(); }
  void operator()(std::string_view name, std::int64_t& value) { value = json_[name].signed_number(); }
  void operator()(std::string_view name, std::int32_t& value) {
    value = static_cast<std::int32_t>(json_[name].signed_number());
  }
  void operator()(std::string_view name, std::uint64_t& value) { value = json_[name].unsigned_number(); }
  void operator()(std::string_view name, std::uint32_t& value) {
    value = static_cast<std::uint32_t>(json_[name].unsigned_number());
  }
  void operator()(std::string_view name, std::vector<std::string>& values) {
    for (const JsonValue& item : json_[name].items()) values.push_back(item.text());
  }
  void operator()(std::string_view name, std::vector<NamedCount>& values) {
    for (const JsonValue& item : json_[name].items()) {
      values.push_back({.name = item["name"].text(),
                        .count = item["count"].unsigned_number(),
                        .bytes = item["bytes"].unsigned_number()});
    }
  }
  void operator()(std::string_view name, std::vector<MemoryPart>& values) {
    for (const JsonValue& item : json_[name].items()) {
      values.push_back({.name = item["name"].text(), .bytes = item["bytes"].unsigned_number()});
    }
  }
  void operator()(std::string_view name, std::vector<Suspect>& values) {
    for (const JsonValue& item : json_[name].items()) {
      FieldReader read(item);
      each_suspect_field(read, values.emplace_back());
    }
  }

 private:
  const JsonValue& json_;
};

}  // namespace

std::string header_to_json(const SnapshotHeader& header) {
  JsonWriter json;
  FieldWriter write(json);
  json.begin_object();
  json.key("kind").text(kKinds.at(static_cast<std::size_t>(header.kind)));
  json.key("strings").text(kPolicies.at(static_cast<std::size_t>(header.strings)));
  each_field(write, header);
  json.key("target").begin_object();
  each_target_field(write, header.target);
  json.end_object();
  json.key("memory").begin_object();
  each_memory_field(write, header.memory);
  json.end_object();
  if (!header.core.file.empty()) {
    json.key("core").begin_object();
    each_core_field(write, header.core);
    json.end_object();
  }
  if (!header.tracking.end.empty()) {
    json.key("tracking").begin_object();
    each_tracking_field(write, header.tracking);
    json.end_object();
  }
  json.end_object();
  return json.result();
}

std::optional<SnapshotHeader> header_from_json(std::string_view text) {
  const auto json = JsonValue::parse(text);
  if (!json) return std::nullopt;
  const auto kind = index_of(kKinds, (*json)["kind"].text());
  const auto policy = index_of(kPolicies, (*json)["strings"].text());
  if (!kind || !policy) return std::nullopt;
  SnapshotHeader header;
  header.kind = static_cast<SnapshotKind>(*kind);
  header.strings = static_cast<StringsPolicy>(*policy);
  FieldReader read(*json);
  each_field(read, header);
  FieldReader read_target((*json)["target"]);
  each_target_field(read_target, header.target);
  FieldReader read_memory((*json)["memory"]);
  each_memory_field(read_memory, header.memory);
  FieldReader read_core((*json)["core"]);
  each_core_field(read_core, header.core);
  if ((*json)["tracking"]["end"].text().empty()) return header;
  FieldReader read_tracking((*json)["tracking"]);
  each_tracking_field(read_tracking, header.tracking);
  return header;
}

}  // namespace memsnap
