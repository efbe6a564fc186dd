#pragma once

#include <boost/program_options.hpp>
#include <optional>

#include "report/cli/command.h"
#include "report/cli/tracked_session.h"
#include "snapshot/session/track_allocations.h"

namespace memsnap {

// --for, --no-inject, --require-tracking, and those of recording but --native, which add_capture_options() has.
void add_tracking_options(boost::program_options::options_description& options);
// --sample, --allocators, --depth, --native. `usual`: what --sample is when it is not given, for the help.
void add_recording_options(boost::program_options::options_description& options, const char* usual = "512KiB");
// What they ask for. Throws Error kUsage.
void read_recording_options(const boost::program_options::variables_map& options, TrackingRequest& request);

// --background, --live, --follow-fork, --max-children, --max-overhead, --max-file. Throws Error kUsage.
SessionPlan session_plan(const Invocation& invocation);
bool in_background(const Invocation& invocation);

// What they ask for, for the process that the caller names. Empty: no tracking. Throws Error kUsage.
std::optional<TrackingRequest> tracking_request(const Invocation& invocation);

}  // namespace memsnap
