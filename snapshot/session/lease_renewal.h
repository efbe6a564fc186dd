#pragma once

#include <chrono>
#include <thread>

#include "inject/control/tracking.h"

namespace memsnap {

// Renews the lease as long as it lives. Something takes as long as the heap is large: without its lease the agent would
// fall silent, and miss what is freed. Nothing else may renew it meanwhile.
class LeaseRenewal {
 public:
  LeaseRenewal(Tracking& tracking, std::chrono::milliseconds lease);

 private:
  std::jthread renewer_;
};

}  // namespace memsnap
