#include "snapshot/session/redact.h"

#include <cstdint>
#include <utility>

#include "snapshot/walk/kept_text.h"

namespace memsnap {
namespace {

// The same numbers for the texts, of which some may be alike then.
void redact_table(StringTable& strings, const Redactor& redactor) {
  std::string buffer;
  std::vector<std::uint32_t> begin{0};
  for (StringId id = 0; id < strings.size(); ++id) {
    std::string text(strings.text(id));
    std::string kept = redactor.apply(text);
    if (buffer.size() + kept.size() > UINT32_MAX) kept.clear();  // so many replacements that a table cannot hold them
    buffer += kept;
    begin.push_back(static_cast<std::uint32_t>(buffer.size()));
  }
  strings = StringTable(std::move(buffer), std::move(begin));
}

void redact_header(SnapshotHeader& header, const Redactor& redactor) {
  std::vector<std::string*> texts{&header.target.command_line, &header.target.name,     &header.target.executable,
                                  &header.target.container,    &header.fallback_reason, &header.core.file,
                                  &header.tracking.end};
  for (auto* const counts : {&header.skipped_types, &header.python_sizeof_types, &header.duplicates}) {
    for (NamedCount& one : *counts) texts.push_back(&one.name);
  }
  for (std::string& warning : header.warnings) texts.push_back(&warning);
  for (std::string& line : header.tracking.left_behind) texts.push_back(&line);
  for (Suspect& suspect : header.suspects) {
    for (std::string* const text : {&suspect.path, &suspect.type, &suspect.crowd_type}) texts.push_back(text);
  }
  for (std::string* const text : texts) *text = redactor.apply(std::move(*text));
}

}  // namespace

void redact(Snapshot& snapshot, const std::vector<std::string>& expressions) {
  if (expressions.empty()) return;
  const Redactor redactor(expressions);
  redact_header(snapshot.header, redactor);
  redact_table(snapshot.graph.strings, redactor);
  if (snapshot.threads) redact_table(snapshot.threads->strings, redactor);
  if (snapshot.profile) redact_table(snapshot.profile->strings, redactor);
}

}  // namespace memsnap
