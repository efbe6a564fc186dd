#include "snapshot/session/redact_stacks.h"

#include <utility>

#include "snapshot/walk/kept_text.h"

namespace memsnap {

void redact_stacks(ThreadStacks& stacks, const std::vector<std::string>& expressions) {
  if (expressions.empty()) return;
  const Redactor redactor(expressions);
  StringTable strings;
  std::vector<StringId> moved;
  for (StringId id = 0; id < stacks.strings.size(); ++id)
    moved.push_back(strings.add(redactor.apply(std::string(stacks.strings.text(id)))));
  for (ThreadStack& thread : stacks.threads) {
    thread.name = moved[thread.name];
    thread.waits = moved[thread.waits];
  }
  for (StackFrame& frame : stacks.frames) {
    frame.function = moved[frame.function];
    frame.file = moved[frame.file];
  }
  stacks.strings = std::move(strings);
}

}  // namespace memsnap
