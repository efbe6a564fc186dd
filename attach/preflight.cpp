#include "attach/preflight.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace memsnap {
namespace {

constexpr std::size_t kContainerId = 64;
constexpr std::size_t kShownId = 12;

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string status_field(const std::string& status, const std::string& key) {
  const std::size_t at = ("\n" + status).find("\n" + key + ":");
  if (at == std::string::npos) return "";
  const std::size_t begin = status.find_first_not_of(" \t", at + key.size() + 1);
  return begin == std::string::npos ? "" : status.substr(begin, status.find('\n', begin) - begin);
}

std::string user_name(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  const bool known = ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known ? found->pw_name : std::to_string(uid);
}

std::string container_id(const std::string& cgroups) {
  std::size_t run = 0;
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    run = std::isxdigit(static_cast<unsigned char>(cgroups[i])) != 0 ? run + 1 : 0;
    if (run == kContainerId) return cgroups.substr(i + 1 - kContainerId, kContainerId);
  }
  return "";
}

// The inode that names a namespace; 0 when it may not be read.
std::uint64_t namespace_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

int yama_scope() { return std::atoi(read_all("/proc/sys/kernel/yama/ptrace_scope").c_str()); }

// proc_pid_uid_map(5): only in the first one each uid is itself.
bool in_first_user_namespace() {
  std::ifstream file("/proc/self/uid_map");
  std::uint64_t inside = 0, outside = 0, count = 0;
  return !(file >> inside >> outside >> count) || (inside == 0 && outside == 0 && count == 0xffffffff);
}

}  // namespace

AccessFacts read_access_facts(pid_t pid) {
  AccessFacts facts;
  const std::string ours = read_all("/proc/self/status");
  const std::string theirs = read_all(fmt::format("/proc/{}/status", pid));
  facts.our_uid = ::geteuid();
  facts.target_uid = static_cast<uid_t>(std::strtoul(status_field(theirs, "Uid").c_str(), nullptr, 10));
  const std::uint64_t capabilities = std::strtoull(status_field(ours, "CapEff").c_str(), nullptr, 16);
  facts.capable = (capabilities >> CAP_SYS_PTRACE & 1) != 0;
  facts.overrides = (capabilities >> CAP_DAC_OVERRIDE & 1) != 0;
  facts.yama_scope = yama_scope();
  struct stat folder {};
  // What is in it belongs to root when the process is not dumpable, proc(5); the folder itself does not.
  if (::stat(fmt::format("/proc/{}/maps", pid).c_str(), &folder) == 0)
    facts.dumpable = folder.st_uid == facts.target_uid;
  const std::uint64_t space = namespace_of(fmt::format("/proc/{}/ns/user", pid));
  facts.in_first_user_namespace = in_first_user_namespace();
  facts.same_user_namespace = space == 0 ? facts.in_first_user_namespace : space == namespace_of("/proc/self/ns/user");
  facts.filtered = status_field(ours, "Seccomp") == "2";
  facts.name = status_field(theirs, "Name");
  facts.user = user_name(facts.target_uid);
  facts.container = container_id(read_all(fmt::format("/proc/{}/cgroup", pid)));
  return facts;
}

namespace {

bool lacks_override(const AccessFacts& facts) {
  return facts.capable && !facts.overrides && facts.our_uid != facts.target_uid;
}

std::vector<std::string> known_reasons(const AccessFacts& facts) {
  std::vector<std::string> reasons;
  if (!facts.capable && facts.our_uid != facts.target_uid) {
    reasons.push_back(fmt::format("it belongs to user {}, and memsnap does not have CAP_SYS_PTRACE", facts.user));
  }
  if (lacks_override(facts))
    reasons.emplace_back("it is another user's: to write its memory CAP_DAC_OVERRIDE is needed beside CAP_SYS_PTRACE");
  if (!facts.capable && facts.yama_scope == 1)
    reasons.emplace_back("kernel.yama.ptrace_scope is 1: only a parent may attach");
  if (!facts.capable && facts.yama_scope == 2)
    reasons.emplace_back("kernel.yama.ptrace_scope is 2: CAP_SYS_PTRACE is needed");
  if (facts.yama_scope >= 3)
    reasons.emplace_back("kernel.yama.ptrace_scope is 3: nobody may attach until the next boot");
  if (!facts.capable && !facts.dumpable) {
    reasons.emplace_back("it is not dumpable (prctl PR_SET_DUMPABLE, or a set-uid program): CAP_SYS_PTRACE is needed");
  }
  if (!facts.same_user_namespace)
    reasons.emplace_back("it is in another user namespace, where our capabilities do not count");
  if (facts.filtered) reasons.emplace_back("memsnap runs under a seccomp filter, which may forbid ptrace");
  return reasons;
}

}  // namespace

std::vector<std::string> refusal_reasons(const AccessFacts& facts) {
  std::vector<std::string> reasons = known_reasons(facts);
  if (reasons.empty())
    reasons.emplace_back("a security module (AppArmor, SELinux, Landlock) or a limit of the kernel forbids it");
  return reasons;
}

std::vector<std::string> refusal_hints(const AccessFacts& facts) {
  std::vector<std::string> hints;
  if (facts.yama_scope >= 3) return hints;
  const bool is_confined = known_reasons(facts).empty() || facts.filtered || !facts.in_first_user_namespace;
  if (!facts.capable) hints.emplace_back("run it as root, or as a user with CAP_SYS_PTRACE");
  if (lacks_override(facts)) hints.emplace_back("run it as root, or with both capabilities");
  if (!facts.container.empty() && facts.filtered) {
    hints.emplace_back("docker run --cap-add SYS_PTRACE --pid container:" + facts.container.substr(0, kShownId) +
                       " ...");
    hints.emplace_back("kubectl debug -it POD --target=CONTAINER --profile=general --image=...");
  }
  if (is_confined) {
    hints.emplace_back(
        "run it as root outside of what confines memsnap: from a shell of the machine, not of a sandbox, service or "
        "container");
  }
  return hints;
}

bool sudo_may_help() {
  return yama_scope() < 3 && in_first_user_namespace() &&
         status_field(read_all("/proc/self/status"), "NoNewPrivs") != "1";
}

Error permission_error(pid_t pid, int error) {
  const AccessFacts facts = read_access_facts(pid);
  std::string hint;
  for (const auto& lines : {refusal_reasons(facts), refusal_hints(facts)}) {
    for (const std::string& line : lines) hint += line + '\n';
  }
  hint += fmt::format("more: memsnap doctor {}", pid);
  return {ExitCode::kNoPermission,
          fmt::format("cannot attach to {} ({}, user {}): {}", pid, facts.name, facts.user, std::strerror(error)),
          hint};
}

}  // namespace memsnap
