#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "snapshot/capture/call_trie.h"

namespace memsnap {

// Whether a C function is shown to nobody: an evaluation loop, for which the Python frames stand, and what is between
// the code that wants memory and malloc.
bool is_hidden_function(std::string_view name);

// Names the native frames of a process while it lives. Libraries that come are noticed.
class NativeFrames {
 public:
  explicit NativeFrames(pid_t pid);
  ~NativeFrames();
  NativeFrames(const NativeFrames&) = delete;
  NativeFrames& operator=(const NativeFrames&) = delete;

  // Valid as long as this is.
  NativeNames names();
  // As NativeSymbols says it.
  std::optional<std::string> left_out() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace memsnap
