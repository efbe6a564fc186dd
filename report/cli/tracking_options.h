#pragma once

#include <boost/program_options.hpp>
#include <optional>

#include "report/cli/command.h"
#include "snapshot/session/track_allocations.h"

namespace memsnap {

// --for, --no-inject, --require-tracking, and those of recording but --native, which add_capture_options() has.
void add_tracking_options(boost::program_options::options_description& options);
// --sample, --allocators, --native, --depth.
void add_recording_options(boost::program_options::options_description& options);

// What they ask for, for the process that the caller names. Empty: no tracking. Throws Error kUsage.
std::optional<TrackingRequest> tracking_request(const Invocation& invocation);

}  // namespace memsnap
