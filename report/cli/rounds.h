#pragma once

#include <boost/program_options.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "report/cli/command.h"

namespace memsnap {

// How often something is done: once, or every so often, until a count is reached, a signal comes or the target ends.
struct Rounds {
  std::chrono::milliseconds jitter{};                // at most so long is waited at random before the first
  std::optional<std::chrono::milliseconds> every{};  // from beginning to beginning; what is missed is left out
  std::optional<std::uint32_t> count{};
};

void add_round_options(boost::program_options::options_description& options);
Rounds read_rounds(const boost::program_options::variables_map& values);  // throws Error kUsage

// The worst code of all rounds. An Error of the first round ends it; a later one is reported, and the next round comes.
// A target that is gone ends it well when it `ends_with_target`, and so does a signal.
ExitCode each_round(const Invocation& invocation, const Rounds& rounds, bool ends_with_target,
                    const std::function<ExitCode()>& one);

// Sleeps in short pieces; false when a signal came.
bool sleep_until(std::chrono::steady_clock::time_point when, const Invocation& invocation);

}  // namespace memsnap
