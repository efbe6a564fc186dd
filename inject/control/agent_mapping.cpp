#include "inject/control/agent_mapping.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "attach/base/error.h"
#include "attach/stopped_process.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMemfdFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
constexpr std::uint64_t kMemfdNoExec = 8;            // MFD_NOEXEC_SEAL, Linux 6.3
constexpr std::uint64_t kFixedNoReplace = 0x100000;  // MAP_FIXED_NOREPLACE, Linux 4.17: a hint before
constexpr std::uint64_t kWipeOnFork = 18;            // MADV_WIPEONFORK, Linux 4.14
constexpr std::uint64_t kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr std::uint64_t kReadWrite = PROT_READ | PROT_WRITE;

bool failed(std::int64_t result) { return result < 0 && result > -4096; }

[[noreturn]] void throw_refused(const char* what, std::int64_t result) {
  const auto error = static_cast<int>(-result);
  std::string hint = "a snapshot works all the same: memsnap snapshot";
  if (error == EACCES || error == EPERM) hint = "a policy forbids executable memory to it; " + hint;
  if (error == ENOMEM) hint = "a limit of its address space or of its mappings (vm.max_map_count) is reached; " + hint;
  throw Error(ExitCode::kGaveUp, fmt::format("{} in the target: {}", what, std::strerror(error)), hint);
}

// What was made so far, taken back unless it is kept.
class Mapper {
 public:
  Mapper(RemoteCall& thread, pid_t pid, const StepObserver& step) : thread_(thread), pid_(pid), step_(step) {}
  ~Mapper() {
    try {
      if (file_ >= 0) thread_.call(SYS_close, {static_cast<std::uint64_t>(file_)});
      for (const auto& [begin, size] : mapped_) thread_.call(SYS_munmap, {begin, size});
    } catch (const Error&) {  // the thread is gone, and the target with it
    }
  }
  Mapper(const Mapper&) = delete;
  Mapper& operator=(const Mapper&) = delete;
  void keep() { mapped_.clear(); }

  std::int64_t try_call(const char* what, long number, const CallArguments& arguments) {
    if (step_) step_(what);
    return thread_.call(number, arguments).value;
  }
  std::uint64_t call(const char* what, long number, const CallArguments& arguments) {
    const std::int64_t result = try_call(what, number, arguments);
    if (failed(result)) throw_refused(what, result);
    return static_cast<std::uint64_t>(result);
  }

  // A memfd of the target, as we can open it.
  FileDescriptor make_file() {
    const std::size_t length = std::strlen(kAgentName) + 1;
    const iovec local{const_cast<char*>(kAgentName), length};
    const iovec remote{reinterpret_cast<void*>(thread_.scratch()), length};
    if (length > RemoteCall::kScratchSize || ::process_vm_writev(pid_, &local, 1, &remote, 1, 0) < 0)
      throw_refused("a name", -errno);
    std::int64_t made = try_call("memfd_create", SYS_memfd_create, {thread_.scratch(), kMemfdFlags | kMemfdNoExec});
    if (made == -EINVAL) made = try_call("memfd_create", SYS_memfd_create, {thread_.scratch(), kMemfdFlags});
    if (failed(made)) throw_refused("memfd_create", made);
    file_ = made;
    const std::string path = fmt::format("/proc/{}/fd/{}", pid_, file_);
    std::array<char, 64> name{};
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!file) throw_refused("opening its shared memory", -errno);
    if (::readlink(path.c_str(), name.data(), name.size() - 1) < 0 ||
        std::string_view(name.data()).find(kAgentName) == std::string_view::npos) {
      throw_refused("its shared memory", -EBADF);
    }
    return file;
  }

  std::uint64_t map_tables(std::uint64_t size) {
    const auto file = static_cast<std::uint64_t>(file_);
    // Under mlockall(MCL_FUTURE) all of it would be made resident: such pages are not, while nothing may read them.
    const bool locks = status_number(pid_, "VmLck", 10, 0) != 0;
    const std::uint64_t at = call("mmap", SYS_mmap, {0, size, locks ? PROT_NONE : kReadWrite, MAP_SHARED, file, 0});
    mapped_.emplace_back(at, size);
    call("close", SYS_close, {file});
    file_ = -1;
    if (locks) {
      call("munlock", SYS_munlock, {at, size});
      call("mprotect", SYS_mprotect, {at, size, kReadWrite});
    }
    call("madvise", SYS_madvise, {at, size, MADV_DONTFORK});
    try_call("madvise", SYS_madvise, {at, size, MADV_DONTDUMP});
    try_call("madvise", SYS_madvise, {at, size, MADV_NOHUGEPAGE});  // written here and there: 4 KiB must not cost 2 MiB
    return at;
  }

  // At `wanted` if it can be had there. Never writable and executable at once, and never made executable later.
  std::uint64_t map_image(std::uint64_t wanted, std::uint64_t size) {
    constexpr std::uint64_t kProtection = PROT_READ | PROT_EXEC;
    std::int64_t at = try_call("mmap", SYS_mmap, {wanted, size, kProtection, kPrivate | kFixedNoReplace, ~0ull, 0});
    if (at == -EEXIST) at = try_call("mmap", SYS_mmap, {0, size, kProtection, kPrivate, ~0ull, 0});
    if (failed(at)) throw_refused("mapping executable memory", at);
    mapped_.emplace_back(static_cast<std::uint64_t>(at), size);
    return static_cast<std::uint64_t>(at);
  }

 private:
  RemoteCall& thread_;
  pid_t pid_;
  const StepObserver& step_;
  std::int64_t file_ = -1;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> mapped_;
};

}  // namespace

std::span<const NeededCall> agent_calls() {
  static constexpr std::uint64_t kSome = 4096;
  static constexpr std::array<NeededCall, 8> kCalls = {{
      {"memfd_create", SYS_memfd_create, {kSome, kMemfdFlags | kMemfdNoExec}},
      {"mmap", SYS_mmap, {0, kSome, kReadWrite, MAP_SHARED, 3, 0}},
      {"mmap of executable memory", SYS_mmap, {0, kSome, PROT_READ | PROT_EXEC, kPrivate, ~0ull, 0}},
      {"close", SYS_close, {3}},
      {"madvise", SYS_madvise, {kSome, kSome, MADV_DONTFORK}},
      {"madvise", SYS_madvise, {kSome, kSome, kWipeOnFork}},
      {"mprotect", SYS_mprotect, {kSome, kSome, kReadWrite}},
      {"munmap", SYS_munmap, {kSome, kSome}},
  }};
  return kCalls;
}

MappedAgent map_agent(RemoteCall& thread, pid_t pid, const AgentImage& image, const TableSizes& sizes,
                      const AgentHeader& facts, const StepObserver& step) {
  Mapper mapper(thread, pid, step);
  MappedAgent agent;
  agent.tables = std::make_unique<SharedTables>(mapper.make_file(), sizes, facts);
  AgentPlace& place = agent.place;
  AgentHeader& header = agent.tables->header();
  place.shared_begin = mapper.map_tables(sizes.size);
  place.shared_end = place.shared_begin + sizes.size;
  header.shared_begin = place.shared_begin;
  header.shared_end = place.shared_end;

  const std::uint64_t size = image.size() + kPageSize;
  // Not at the same place each time: what an earlier agent left in dead memory must not look like a pointer to this
  // one.
  constexpr std::uint64_t kPlaces = 1u << 18;
  std::uint64_t at = place.shared_begin - size - std::random_device{}() % kPlaces * kPageSize;
  const auto announce = [&] {
    place.image_begin = header.image_begin = at;
    place.image_end = header.image_end = at + image.size();
    place.control = header.control = at + image.size();
  };
  announce();
  if (const std::uint64_t got = mapper.map_image(at, size); got != at) {
    at = got;
    announce();
  }
  const std::uint64_t writable = at + image.writable_begin();
  mapper.call("mprotect", SYS_mprotect, {writable, at + size - writable, kReadWrite});
  const std::int64_t wiped = mapper.try_call("madvise", SYS_madvise, {place.control, kPageSize, kWipeOnFork});
  if (failed(wiped)) throw_refused("a page that forked children do not see", wiped);
  mapper.keep();
  return agent;
}

bool unmap_agent(RemoteCall& thread, const AgentPlace& place, bool tables, std::string* why) {
  const auto unmap = [&](std::uint64_t begin, std::uint64_t end) {
    if (begin >= end) return true;
    const std::int64_t result = thread.call(SYS_munmap, {begin, end - begin}).value;
    if (result != 0) *why = fmt::format("munmap: {}", std::strerror(static_cast<int>(-result)));
    return result == 0;
  };
  const std::uint64_t end = place.control == place.image_end ? place.control + kPageSize : place.image_end;
  bool done = unmap(place.image_begin, end);
  if (done && place.control != 0 && place.control != place.image_end)
    done = unmap(place.control, place.control + kPageSize);
  return (!tables || unmap(place.shared_begin, place.shared_end)) && done;
}

}  // namespace memsnap
