#include "inject/control/shared_tables.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string>

#include "attach/base/error.h"
#include "attach/stopped_process.h"
#include "inject/control/agent_image.h"
#include "inject/control/keeper.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kKiB = 1u << 10;
constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kJournalCapacity = 64 * kKiB;
constexpr std::uint64_t kRoomLeft = 64 * kMiB;  // of the target's limit, for the target
constexpr std::uint64_t kNoLimit = ~0ull;

// setrlimit(2) RLIMIT_AS of another process: proc_pid_limits(5).
std::uint64_t address_space_limit(pid_t pid) {
  constexpr std::string_view kName = "Max address space";
  std::ifstream file(fmt::format("/proc/{}/limits", pid));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kName)) continue;
    const std::uint64_t limit = std::strtoull(line.c_str() + kName.size(), nullptr, 10);
    return limit == 0 ? kNoLimit : limit;  // "unlimited"
  }
  return kNoLimit;
}

}  // namespace

TableSizes table_sizes(unsigned step, std::uint64_t resident, bool native) {
  TableSizes tables;
  tables.size = whole_pages(sizeof(AgentHeader));
  const auto place = [&](AgentSection& section, std::uint64_t capacity, std::uint64_t item) {
    section = {tables.size, capacity};
    tables.size += whole_pages(capacity * item);
  };
  const unsigned shift = 2 * std::min(step, kTableSteps - 1);
  // Twice the resident size: what is mapped there later, and arenas that are not whole.
  const std::uint64_t leaves = std::max((64 * kKiB) >> shift, resident / kMiB * 2 + kKiB);
  const std::uint64_t threads = (4 * kKiB) >> shift;
  const std::uint64_t nodes = (16 * kMiB) >> shift;
  const std::uint64_t codes = (512 * kKiB) >> shift;
  AgentHeader::Sections& sections = tables.sections;
  place(sections.patches, kJournalCapacity, sizeof(AgentPatch));  // next to the header: memsnap maps only these
  place(sections.threads, threads, sizeof(AgentThread));
  place(sections.thread_hash, threads * 4, sizeof(std::uint64_t));
  place(sections.scratch, threads * kAgentScratch, 1);
  place(sections.nodes, nodes, sizeof(AgentNode));
  place(sections.counts, nodes, sizeof(AgentCounts));
  place(sections.node_hash, nodes * 2, sizeof(std::uint32_t));
  place(sections.codes, codes, sizeof(AgentCode));
  place(sections.code_hash, codes * 2, sizeof(std::uint32_t));
  place(sections.texts, (512 * kMiB) >> shift, 1);
  place(sections.roots, kRootCount, sizeof(std::uint32_t));
  constexpr std::uint64_t kRules = 16 * kMiB;  // of the largest library there is, and a hundred others
  constexpr std::uint64_t kRuleRanges = 4 * kKiB;
  place(sections.rules, native ? kRules >> shift : 0, sizeof(AgentRule));
  place(sections.rule_ranges, native ? kRuleRanges : 0, sizeof(AgentRuleRange));
  place(sections.native_scratch, native ? threads * kAgentNativeScratch : 0, 1);
  place(sections.leaves, leaves, kLeafWords * sizeof(std::uint64_t));
  return tables;
}

TableSizes fitting_tables(pid_t pid, std::uint64_t image_size, bool native) {
  const std::uint64_t resident = status_number(pid, "VmRSS", 10, 0) * kKiB;
  const std::uint64_t limit = address_space_limit(pid);
  const std::uint64_t used = status_number(pid, "VmSize", 10, 0) * kKiB;
  const std::uint64_t room = limit - std::min(limit, used);
  TableSizes tables;
  for (unsigned step = 0; step < kTableSteps; ++step) {
    tables = table_sizes(step, resident, native);
    if (limit == kNoLimit || tables.size + image_size + kRoomLeft <= room) return tables;
  }
  throw Error(
      ExitCode::kGaveUp,
      fmt::format("the tables of tracking need {} MiB of {}'s address space, and its limit (RLIMIT_AS) leaves {} "
                  "MiB of {} MiB",
                  (tables.size + image_size + kRoomLeft) / kMiB, pid, room / kMiB, limit / kMiB),
      fmt::format("raise it: prlimit --pid {} --as=unlimited", pid));
}

SharedTables::SharedTables(FileDescriptor file, const TableSizes& sizes, const AgentHeader& facts)
    : file_(std::move(file)), size_(sizes.size), capacity_(sizes.sections.patches.capacity) {
  struct stat status {};
  // Ours applies when we size it: beyond it the kernel sends SIGXFSZ.
  rlimit files{};
  const bool fits = ::getrlimit(RLIMIT_FSIZE, &files) != 0 || files.rlim_cur >= sizes.size;
  if (!fits || ::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0 || ::fstat(file_.get(), &status) != 0) {
    throw Error(ExitCode::kGaveUp,
                fmt::format("a shared memory of {} MiB: {}", size_ / kMiB, std::strerror(fits ? errno : EFBIG)),
                "check memsnap's own limits: ulimit -f");
  }
  inode_ = status.st_ino;
  // Whoever has it open may not shorten it under our view, nor under the target.
  ::fcntl(file_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  mapped_ = sizes.sections.patches.offset + whole_pages(capacity_ * sizeof(AgentPatch));
  void* const view = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (view == MAP_FAILED)
    throw Error(ExitCode::kGaveUp, fmt::format("mapping the tables: {}", std::strerror(errno)), "");
  header_ = new (view) AgentHeader(facts);
  header_->magic = kAgentMagic;
  header_->abi = kAgentAbiVersion;
  header_->size = size_;
  header_->sections = sizes.sections;
  header_->keeper_pid = static_cast<std::uint64_t>(::getpid());
  header_->keeper_start_time = start_time_of(::getpid()).value_or(0);
  header_->keeper_namespace = pid_namespace(::getpid());
  journal_ = reinterpret_cast<AgentPatch*>(static_cast<std::byte*>(view) + sizes.sections.patches.offset);
}

SharedTables::~SharedTables() {
  if (header_ != nullptr) ::munmap(header_, mapped_);
}

bool SharedTables::add(std::span<const AgentPatch> patches) {
  if (patches.size() > capacity_ - std::min<std::uint64_t>(capacity_, patches_.size())) return false;
  std::copy(patches.begin(), patches.end(), journal_ + patches_.size());
  patches_.insert(patches_.end(), patches.begin(), patches.end());
  std::atomic_ref(header_->patch_count).store(patches_.size(), std::memory_order_release);
  return true;
}

void SharedTables::write_journal() { std::copy(patches_.begin(), patches_.end(), journal_); }

}  // namespace memsnap
