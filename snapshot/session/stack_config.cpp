#include "snapshot/session/stack_config.h"

#include <algorithm>

namespace memsnap {
namespace {

// The exported function of the interpreter's own program or library; 0: it has none.
std::uint64_t function(const std::vector<std::unique_ptr<ElfImage>>& images, const PythonProcess& python,
                       std::initializer_list<const char*> names) {
  const auto image = std::find_if(images.begin(), images.end(), [&](const auto& each) {
    return python.runtime >= each->range().begin && python.runtime < each->range().end;
  });
  if (image == images.end()) return 0;
  for (const char* name : names) {
    if (const auto address = (*image)->symbol(name)) return *address;
  }
  return 0;
}

}  // namespace

AgentConfig stack_config(const std::vector<std::unique_ptr<ElfImage>>& images, const PythonProcess& python) {
  AgentConfig config{};
  config.layout = python.layout;
  if (python.layout.runtime.finalizing != 0) config.finalizing = python.runtime + python.layout.runtime.finalizing;
  config.code_type = python.type("PyCode_Type").value_or(0);
  // PyGILState's answer is the thread's own also while it does not hold the GIL.
  config.thread_state_released = function(images, python, {"PyGILState_GetThisThreadState"});
  config.thread_state = python.version.at_least(3, 12)
                            ? function(images, python, {"PyThreadState_GetUnchecked", "_PyThreadState_UncheckedGet"})
                            : config.thread_state_released;
  if (config.thread_state == 0) config.thread_state = config.thread_state_released;
  return config;
}

std::string native_left_out(const TrackingFacts& facts) {
  std::string names;
  for (const std::string& path : facts.without_rules) names += (names.empty() ? "" : ", ") + path;
  return names.empty() ? "" : "native stacks end in these, whose tables are too large: " + names;
}

}  // namespace memsnap
