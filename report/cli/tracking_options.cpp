#include "report/cli/tracking_options.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "report/cli/capture.h"
#include "report/cli/option_values.h"
#include "report/cli/value_types.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::uint64_t kUsualPeriod = 512u << 10;
constexpr std::uint32_t kUsualDepth = 1000;
constexpr std::uint32_t kMostDepth = 1000;

// "malloc,python,mmap": malloc is always there, since what else would the rest be a part of.
void read_allocators(const std::string& text, TrackingRequest& request) {
  request.mappings = false;
  bool malloc = false;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view word = std::string_view(text).substr(at, comma - at);
    if (word == "malloc") {
      malloc = true;
    } else if (word == "python") {
      request.python_objects = true;
    } else if (word == "mmap") {
      request.mappings = true;
    } else {
      throw Error(ExitCode::kUsage, fmt::format("--allocators: {} is none of malloc, python, mmap", word), "");
    }
    at = comma + 1;
  }
  if (!malloc) throw Error(ExitCode::kUsage, "--allocators needs malloc among them", "--allocators malloc,python");
}

void add_sampling_options(po::options_description& options, const char* usual = "512KiB") {
  auto add = options.add_options();
  const std::string sample =
      fmt::format("record one allocation in so many bytes on average; default {}, 1: every one", usual);
  add("sample", po::value<ByteCount>()->value_name("BYTES"), sample.c_str());
  add("allocators", po::value<std::string>()->value_name("malloc,python,mmap"),
      "which are tracked; default malloc,mmap; python is every small object");
  add("depth", po::value<WholeNumber>()->value_name("N"), "most Python frames kept of a stack; default 1000");
}

}  // namespace

void add_tracking_options(po::options_description& options) {
  auto add = options.add_options();
  add("for", po::value<Duration>()->value_name("DUR"), "how long to track allocations; default 10s, 0: not at all");
  add("no-inject", po::bool_switch(), "load nothing: one snapshot, no tracking");
  add("require-tracking", po::bool_switch(), "code 7 when allocations cannot be tracked");
  add("background", po::bool_switch(),
      "return once tracking has begun; without --for it goes on until memsnap detach or the end of the process");
  add("live", po::bool_switch(), "what is live by function, a screen every second while tracking");
  add("follow-fork", po::bool_switch(), "children that it forks are tracked too, each into FILE-PID");
  add("max-children", po::value<WholeNumber>()->value_name("N"), "at most so many of them; default 64");
  add("max-overhead", po::value<Percent>()->value_name("PCT"),
      "end tracking when it costs the process more than PCT of its own processor time for some seconds");
  add("max-file", po::value<ByteCount>()->value_name("SIZE"), "end tracking before the capture is larger than SIZE");
  add_sampling_options(options);
}

bool in_background(const Invocation& invocation) { return option_flag(invocation.options, "background"); }

SessionPlan session_plan(const Invocation& invocation) {
  constexpr std::uint32_t kMostChildren = 4096;
  const po::variables_map& options = invocation.options;
  SessionPlan plan;
  plan.live = option_flag(options, "live");
  plan.follow_forks = option_flag(options, "follow-fork");
  if (const auto most = option_value<WholeNumber>(options, "max-children")) {
    if (!plan.follow_forks) throw Error(ExitCode::kUsage, "--max-children goes with --follow-fork", "");
    if (most->value == 0 || most->value > kMostChildren)
      throw Error(ExitCode::kUsage, fmt::format("--max-children is 1 to {}", kMostChildren), "");
    plan.most_children = most->value;
  }
  if (const auto percent = option_value<Percent>(options, "max-overhead")) {
    if (percent->value <= 0) throw Error(ExitCode::kUsage, "--max-overhead is more than 0", "");
    plan.most_overhead = percent->value;
  }
  if (const auto bytes = option_value<ByteCount>(options, "max-file")) {
    constexpr std::uint64_t kLeast = 64u << 10;
    if (bytes->value < kLeast) throw Error(ExitCode::kUsage, "--max-file is 64 KiB at least", "");
    plan.most_bytes = bytes->value;
  }
  const Format format = invocation.output.format();
  if (plan.live && format == Format::kJson)
    throw Error(ExitCode::kUsage, "--json is one document", "--live goes with --jsonl");
  if (in_background(invocation) && (plan.live || option_flag(options, "no-save"))) {
    throw Error(ExitCode::kUsage,
                plan.live ? "--background has no screen: --live does not go with it"
                          : "--background shows nothing: --no-save does not go with it",
                "memsnap live PID shows what a process that is tracked allocates");
  }
  return plan;
}

void add_recording_options(po::options_description& options, const char* usual) {
  add_sampling_options(options, usual);
  options.add_options()("native", po::bool_switch(), "with the frames of C code between those of Python");
}

void read_recording_options(const po::variables_map& options, TrackingRequest& request) {
  request.depth = kUsualDepth;
  if (const auto period = option_value<ByteCount>(options, "sample")) request.period = period->value;
  if (request.period == 0) throw Error(ExitCode::kUsage, "--sample 0 records nothing", "--sample 1 records every one");
  if (const auto depth = option_value<WholeNumber>(options, "depth")) request.depth = depth->value;
  if (request.depth == 0 || request.depth > kMostDepth)
    throw Error(ExitCode::kUsage, fmt::format("--depth is 1 to {}", kMostDepth), "");
  if (const auto allocators = option_value<std::string>(options, "allocators")) read_allocators(*allocators, request);
  request.native = option_flag(options, "native");
}

std::optional<TrackingRequest> tracking_request(const Invocation& invocation) {
  const po::variables_map& options = invocation.options;
  const auto duration = option_value<Duration>(options, "for");
  const bool none = option_flag(options, "no-inject") || (duration && duration->value.count() == 0);
  if (none) {
    for (const char* option : {"require-tracking", "background", "live", "follow-fork"}) {
      if (option_flag(options, option))
        throw Error(ExitCode::kUsage, fmt::format("--{}, and no tracking: one of them", option), "");
    }
    return std::nullopt;
  }
  TrackingRequest request;
  if (option_flag(options, "background")) request.duration = std::chrono::milliseconds(0);
  if (duration) request.duration = std::chrono::duration_cast<std::chrono::milliseconds>(duration->value);
  request.period = kUsualPeriod;
  read_recording_options(options, request);
  const FreezeOptions freeze = freeze_options(options);
  request.limits.wait = freeze.wait;
  request.limits.max_pause = freeze.max_pause;
  request.cancelled = invocation.cancelled;
  return request;
}

}  // namespace memsnap
