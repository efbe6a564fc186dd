#include "report/cli/watch_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "report/cli/snapshot_condition.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostSamples = 4096;  // older ones are thinned out: growth is seen a little late
constexpr double kLargestPercent = 1e6;

std::string size_text(std::uint64_t bytes) { return bytes_text(bytes, Units::kIec); }

std::optional<SizeOrPercent> parse_amount(std::string_view text) {
  if (!text.ends_with('%')) {
    const auto size = parse_byte_count(text);
    if (!size || size->value == 0) return std::nullopt;
    return SizeOrPercent{size->value, std::nullopt};
  }
  text.remove_suffix(1);
  double percent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || percent <= 0 || percent > kLargestPercent)
    return std::nullopt;
  return SizeOrPercent{0, percent};
}

}  // namespace

std::optional<GrowthLimit> parse_growth_limit(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto by = parse_amount(text.substr(0, slash));
  if (!by) return std::nullopt;
  if (slash == std::string_view::npos) return GrowthLimit{*by};
  const auto within = parse_duration(text.substr(slash + 1));
  if (!within || within->value.count() == 0) return std::nullopt;
  return GrowthLimit{*by, within->value};
}

bool LimitWatch::grew_over(const MemorySample& sample) const {
  return std::any_of(samples_.begin(), samples_.end(),
                     [&](const MemorySample& old) { return grew_enough(old.rss, sample.rss, limits_.grew->by); });
}

std::optional<std::string> LimitWatch::crossed(const MemorySample& sample) {
  before_last_ = std::exchange(last_, sample);
  if (limits_.grew) {
    const auto within = limits_.grew->within;
    while (within && !samples_.empty() && sample.at - samples_.front().at > *within) samples_.pop_front();
    const bool grew = grew_over(sample);
    // Since the beginning: only the first counts.
    if (within || samples_.empty()) samples_.push_back(sample);
    if (samples_.size() > kMostSamples) {
      std::deque<MemorySample> every_second;
      for (std::size_t i = 0; i < samples_.size(); i += 2) every_second.push_back(samples_[i]);
      samples_ = std::move(every_second);
    }
    if (grew) return fmt::format("RSS grew to {}", size_text(sample.rss));
  }
  if (limits_.rss_over && sample.rss > *limits_.rss_over)
    return fmt::format("RSS {} is over {}", size_text(sample.rss), size_text(*limits_.rss_over));
  if (limits_.cgroup_over && sample.cgroup_part && *sample.cgroup_part * 100 > *limits_.cgroup_over)
    return fmt::format("{:.1f} % of its memory limit are used", *sample.cgroup_part * 100);
  return std::nullopt;
}

void LimitWatch::begin_again(const MemorySample& sample) { samples_ = {sample}; }

std::optional<milliseconds> LimitWatch::time_left() const {
  if (!before_last_ || !last_) return std::nullopt;
  const double seconds = std::chrono::duration<double>(last_->at - before_last_->at).count();
  std::optional<double> least;
  const auto consider = [&](double before, double now, double limit) {
    if (seconds <= 0 || now <= before) return;
    const double left = std::max(0.0, (limit - now) * seconds / (now - before));
    least = std::min(least.value_or(left), left);
  };
  const auto before = static_cast<double>(before_last_->rss);
  const auto now = static_cast<double>(last_->rss);
  if (limits_.rss_over) consider(before, now, static_cast<double>(*limits_.rss_over));
  if (limits_.grew && !samples_.empty()) {
    const auto from = static_cast<double>(samples_.front().rss);
    const SizeOrPercent& by = limits_.grew->by;
    consider(before, now, from + (by.percent ? from * *by.percent / 100 : static_cast<double>(by.bytes)));
  }
  if (limits_.cgroup_over && before_last_->cgroup_part && last_->cgroup_part)
    consider(*before_last_->cgroup_part, *last_->cgroup_part, *limits_.cgroup_over / 100);
  if (!least) return std::nullopt;
  constexpr double kLongest = 1e9;
  return milliseconds(std::llround(std::min(*least * 1000, kLongest)));
}

milliseconds LimitWatch::pause(milliseconds longest) {
  constexpr milliseconds kShortest{20};
  constexpr int kLooksBeforeLimit = 4;  // as it grows now
  const auto left = time_left();
  const milliseconds wanted = left ? std::min(*left / kLooksBeforeLimit, longest) : longest;
  const milliseconds most = last_pause_ ? std::min(2 * *last_pause_, wanted) : wanted;
  last_pause_ = std::max(most, std::min(kShortest, longest));
  return *last_pause_;
}

}  // namespace memsnap
