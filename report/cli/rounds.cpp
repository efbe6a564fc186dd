#include "report/cli/rounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <thread>

#include "report/cli/error_report.h"
#include "report/cli/option_values.h"
#include "report/cli/value_types.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

using std::chrono::milliseconds;
using std::chrono::steady_clock;

milliseconds random_part(milliseconds most) {
  std::random_device seed;
  return milliseconds(std::uniform_int_distribution<std::int64_t>(0, most.count())(seed));
}

}  // namespace

void add_round_options(po::options_description& options) {
  auto add = options.add_options();
  add("every", po::value<Duration>()->value_name("DUR"), "again and again, until Ctrl-C, --count, or its end");
  add("count", po::value<WholeNumber>()->value_name("N"), "with --every: at most N times");
  add("jitter", po::value<Duration>()->value_name("DUR"), "wait a random time first, at most so long");
}

Rounds read_rounds(const po::variables_map& values) {
  constexpr milliseconds kShortest{1000};
  Rounds rounds;
  if (const auto every = option_value<Duration>(values, "every")) {
    if (every->value < kShortest) throw Error(ExitCode::kUsage, "--every is less than a second", "");
    rounds.every = every->value;
  }
  if (const auto count = option_value<WholeNumber>(values, "count")) {
    if (!rounds.every) throw Error(ExitCode::kUsage, "--count goes with --every", "--every 15m --count 4");
    if (count->value == 0) throw Error(ExitCode::kUsage, "--count is 0", "");
    rounds.count = count->value;
  }
  if (const auto jitter = option_value<Duration>(values, "jitter")) rounds.jitter = jitter->value;
  return rounds;
}

bool sleep_until(steady_clock::time_point when, const Invocation& invocation) {
  constexpr milliseconds kPiece{100};
  while (steady_clock::now() < when) {
    if (invocation.cancelled()) return false;
    std::this_thread::sleep_for(std::min<steady_clock::duration>(kPiece, when - steady_clock::now()));
  }
  return !invocation.cancelled();
}

ExitCode each_round(const Invocation& invocation, const Rounds& rounds, bool ends_with_target,
                    const std::function<ExitCode()>& one) {
  if (rounds.jitter.count() != 0 && !sleep_until(steady_clock::now() + random_part(rounds.jitter), invocation))
    throw Error(ExitCode::kGaveUp, "interrupted before anything was done", "");
  if (!rounds.every) return one();
  ExitCode worst = ExitCode::kDone;
  auto next = steady_clock::now();
  for (std::uint32_t round = 0; !rounds.count || round < *rounds.count; ++round) {
    if (!sleep_until(next, invocation)) break;
    try {
      const ExitCode code = one();
      if (code != ExitCode::kDone) worst = code;
    } catch (const Error& error) {
      if (error.code() == ExitCode::kTargetHarmed || round == 0) throw;
      if (invocation.cancelled()) break;
      if (error.code() == ExitCode::kNoSuchProcess && ends_with_target) {
        invocation.log.notice("target_ended", error.what());
        break;
      }
      invocation.log.error(event_of(error.code()), error);
      worst = ExitCode::kSomeFailed;
    }
    const auto now = steady_clock::now();
    while (next <= now) next += *rounds.every;
  }
  return worst;
}

}  // namespace memsnap
