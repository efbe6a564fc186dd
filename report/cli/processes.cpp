#include "report/cli/processes.h"

#include <unistd.h>

namespace memsnap {

Candidate candidate_from(const ProcessFacts& facts) {
  Candidate candidate;
  candidate.pid = facts.info.pid;
  candidate.parent = facts.parent;
  candidate.user = facts.info.user;
  candidate.name = facts.info.name;
  candidate.command_line = facts.info.command_line;
  candidate.container = facts.info.container;
  candidate.rss = facts.rss;
  candidate.start_time = facts.info.start_time;
  candidate.age_seconds = facts.info.uptime_seconds;
  candidate.cgroups = facts.cgroups;
  return candidate;
}

Candidate candidate_of(pid_t pid) {
  if (const auto facts = read_process(pid)) return candidate_from(*facts);
  Candidate candidate;
  candidate.pid = pid;
  return candidate;
}

std::vector<Candidate> find_targets(const Selector& selector) {
  if (selector.is_pid_only()) return {candidate_of(selector.pid)};
  const std::vector<std::pair<pid_t, pid_t>> processes = all_processes();
  std::vector<Candidate> pythons;
  for (const auto& [pid, parent] : processes) {
    if (pid == ::getpid()) continue;
    const auto facts = read_process(pid);
    if (facts && looks_like_python(*facts)) pythons.push_back(candidate_from(*facts));
  }
  return decide(matching(selector, pythons, processes), selector.several);
}

std::vector<Candidate> find_group(Selector selector) {
  selector.several = Several::kEach;
  return find_targets(selector);
}

}  // namespace memsnap
