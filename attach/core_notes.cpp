#include "attach/core_notes.h"

#include <elf.h>
#include <sys/procfs.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>

namespace memsnap {
namespace {

constexpr std::size_t kMaxThreads = 1u << 20;

template <class T>
std::optional<T> read_at(std::span<const std::byte> bytes, std::size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <std::size_t N>
std::string text_of(const char (&field)[N]) {  // NOLINT(modernize-avoid-c-arrays): the kernel's struct
  return {field, std::find(field, field + N, '\0')};
}

}  // namespace

bool leaves_core(int signal) {
  constexpr std::array kSignals{SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};
  return std::find(kSignals.begin(), kSignals.end(), signal) != kSignals.end();
}

bool read_status_note(std::span<const std::byte> bytes, CoreProcessInfo& process) {
  const auto status = read_at<elf_prstatus>(bytes, 0);
  if (!status || process.threads.size() == kMaxThreads) return false;
  CoreThread thread{.tid = status->pr_pid, .signal = status->pr_cursig};
  static_assert(sizeof(thread.registers) == sizeof(status->pr_reg));
  std::memcpy(&thread.registers, &status->pr_reg, sizeof(thread.registers));
  // gcore's copy of a running process has the signal by which gdb stopped it.
  if (process.threads.empty() && leaves_core(thread.signal)) process.signal = thread.signal;
  process.threads.push_back(thread);
  return true;
}

bool read_info_note(std::span<const std::byte> bytes, CoreProcessInfo& process) {
  const auto info = read_at<elf_prpsinfo>(bytes, 0);
  if (!info) return false;
  process.pid = info->pr_pid;
  process.uid = info->pr_uid;
  process.name = text_of(info->pr_fname);
  process.arguments = text_of(info->pr_psargs);
  while (process.arguments.ends_with(' ')) process.arguments.pop_back();
  return true;
}

bool read_signal_note(std::span<const std::byte> bytes, CoreProcessInfo& process) {
  const auto info = read_at<siginfo_t>(bytes, 0);
  if (!info) return false;
  constexpr std::array kWithAddress{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
  // A code that is not above zero: sent by a process, which gives no address.
  if (info->si_code > 0 && std::find(kWithAddress.begin(), kWithAddress.end(), info->si_signo) != kWithAddress.end())
    process.fault_address = reinterpret_cast<std::uint64_t>(info->si_addr);
  return true;
}

bool read_auxiliary_note(std::span<const std::byte> bytes, CoreProcessInfo& process) {
  for (std::size_t at = 0; at + sizeof(Elf64_auxv_t) <= bytes.size(); at += sizeof(Elf64_auxv_t)) {
    const auto entry = read_at<Elf64_auxv_t>(bytes, at);
    if (!entry || entry->a_type == AT_NULL) return true;
    if (entry->a_type == AT_PHDR) process.program_headers = entry->a_un.a_val;
    if (entry->a_type == AT_RANDOM) process.random_bytes = entry->a_un.a_val;
  }
  return false;
}

// count, page size, then begin, end and offset in pages of each, then the paths.
bool read_files_note(std::span<const std::byte> bytes, std::vector<CoreMappedFile>& files) {
  constexpr std::size_t kHeader = 16;
  constexpr std::size_t kEntry = 24;
  const auto count = read_at<std::uint64_t>(bytes, 0);
  const auto page = read_at<std::uint64_t>(bytes, 8);
  if (!count || !page || *count > (bytes.size() - kHeader) / kEntry || *page == 0 || *page > 1u << 30) return false;
  std::vector<CoreMappedFile> found;
  std::size_t name = kHeader + *count * kEntry;
  for (std::size_t i = 0; i < *count; ++i) {
    const auto entry = read_at<std::array<std::uint64_t, 3>>(bytes, kHeader + i * kEntry);
    const auto* const text = reinterpret_cast<const char*>(bytes.data());
    const auto* const end = std::find(text + name, text + bytes.size(), '\0');
    if (!entry || end == text + bytes.size()) return false;
    const auto [begin, limit, pages] = *entry;
    if (begin >= limit || limit >> 47 != 0 || pages > (~0ull >> 2) / *page) return false;
    found.push_back({.begin = begin, .end = limit, .offset = pages * *page, .path = {text + name, end}});
    name = static_cast<std::size_t>(end - text) + 1;
  }
  files = std::move(found);
  return true;
}

}  // namespace memsnap
