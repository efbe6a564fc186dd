#include "snapshot/session/lease_renewal.h"

#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace memsnap {
namespace {

constexpr int kRenewalsInLease = 4;

}  // namespace

LeaseRenewal::LeaseRenewal(Tracking& tracking, std::chrono::milliseconds lease)
    : renewer_([&tracking, lease](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any woken;
        std::unique_lock lock(mutex);
        while (!woken.wait_for(lock, stop, lease / kRenewalsInLease, [&stop] { return stop.stop_requested(); })) {
          if (tracking.renew_lease() == Tracking::Health::kGone) return;
        }
      }) {}

}  // namespace memsnap
