#include "attach/same_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace memsnap {

SameProgram::SameProgram(const ProcessId& target, std::uint64_t some_code)
    : target_(target),
      memory_(::open(fmt::format("/proc/{}/mem", target.pid()).c_str(), O_RDONLY | O_CLOEXEC)),
      some_code_(some_code) {}

bool SameProgram::still() const {
  char byte = 0;
  if (memory_) return ::pread(memory_.get(), &byte, 1, static_cast<off_t>(some_code_)) != 0;
  return target_.alive();
}

}  // namespace memsnap
