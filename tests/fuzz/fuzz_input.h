#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "attach/base/file_descriptor.h"
#include "attach/process_memory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace memsnap {

// What a fuzzer was given, taken piece by piece; zeros when there is no more.
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }
  template <Readable T>
  T take() {
    T value{};
    const auto bytes = take_bytes(sizeof(T));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  std::span<const std::uint8_t> take_bytes(std::size_t most) {
    const auto bytes = rest_.first(std::min(most, rest_.size()));
    rest_ = rest_.subspan(bytes.size());
    return bytes;
  }
  std::span<const std::uint8_t> rest() { return take_bytes(rest_.size()); }

 private:
  std::span<const std::uint8_t> rest_;
};

// A finding that is no crash.
inline void require(bool holds) {
  if (!holds) std::abort();
}

// A file that is on no disk.
class FileInMemory {
 public:
  explicit FileInMemory(std::span<const std::uint8_t> bytes) : file_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    require(::write(file_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  FileDescriptor again() const { return FileDescriptor(::open(path().c_str(), O_RDONLY | O_CLOEXEC)); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_.get()); }

 private:
  FileDescriptor file_;
};

// The input as what lies at one place of a process; all else is not mapped.
class InputMemory final : public ProcessMemory {
 public:
  InputMemory(std::uint64_t begin, std::span<const std::uint8_t> bytes) : begin_(begin), bytes_(bytes) {}

  bool copy(std::uint64_t address, std::span<std::byte> out) const override {
    if (address < begin_ || address - begin_ > bytes_.size() || out.size() > bytes_.size() - (address - begin_)) {
      return false;
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + (address - begin_), out.size());
    return true;
  }

 private:
  std::uint64_t begin_;
  std::span<const std::uint8_t> bytes_;
};

}  // namespace memsnap
