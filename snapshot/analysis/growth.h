#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "snapshot/model/snapshot_diff.h"

namespace memsnap {

// The series that got larger in at least `min_steps` steps and are larger at the end than at the beginning, the fastest
// first. `seconds`: when each step was taken, ascending; a series has as many steps, two at least, else it is left out.
std::vector<Growth> find_growth(std::vector<Series> series, const std::vector<double>& seconds, std::size_t min_steps);

}  // namespace memsnap
