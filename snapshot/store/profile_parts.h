#pragma once

#include "snapshot/model/allocation_profile.h"
#include "snapshot/store/container.h"

namespace memsnap {

inline constexpr std::size_t kProfileRowValues = 11;  // of each row

// The parts that hold an allocation profile, which must be consistent. `required`: a reader that does not know them is
// to refuse the file. Reading checks every number and throws Error kBadFile.
void write_profile(ContainerWriter& out, const AllocationProfile& profile, bool required);
AllocationProfile read_profile(ContainerReader& in);

}  // namespace memsnap
