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

void add_sampling_options(po::options_description& options) {
  auto add = options.add_options();
  add("sample", po::value<ByteCount>()->value_name("BYTES"),
      "record one allocation in so many bytes on average; default 512KiB, 1: every one");
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
  add_sampling_options(options);
}

void add_recording_options(po::options_description& options) {
  add_sampling_options(options);
  options.add_options()("native", po::bool_switch(), "with the frames of C code between those of Python");
}

std::optional<TrackingRequest> tracking_request(const Invocation& invocation) {
  const po::variables_map& options = invocation.options;
  const auto duration = option_value<Duration>(options, "for");
  const bool none = option_flag(options, "no-inject") || (duration && duration->value.count() == 0);
  if (none) {
    if (option_flag(options, "require-tracking"))
      throw Error(ExitCode::kUsage, "--require-tracking, and no tracking: one of them", "");
    return std::nullopt;
  }
  TrackingRequest request;
  if (duration) request.duration = std::chrono::duration_cast<std::chrono::milliseconds>(duration->value);
  request.period = kUsualPeriod;
  if (const auto period = option_value<ByteCount>(options, "sample")) request.period = period->value;
  if (request.period == 0) throw Error(ExitCode::kUsage, "--sample 0 records nothing", "--sample 1 records every one");
  request.depth = kUsualDepth;
  if (const auto depth = option_value<WholeNumber>(options, "depth")) request.depth = depth->value;
  if (request.depth == 0 || request.depth > kMostDepth)
    throw Error(ExitCode::kUsage, fmt::format("--depth is 1 to {}", kMostDepth), "");
  if (const auto allocators = option_value<std::string>(options, "allocators")) read_allocators(*allocators, request);
  request.native = option_flag(options, "native");
  const FreezeOptions freeze = freeze_options(options);
  request.limits.wait = freeze.wait;
  request.limits.max_pause = freeze.max_pause;
  request.cancelled = invocation.cancelled;
  return request;
}

}  // namespace memsnap
