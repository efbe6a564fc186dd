#include "inject/control/patches.h"

#include <algorithm>
#include <unordered_set>

namespace memsnap {

bool write_patches(const WritableMemory& memory, std::span<const AgentPatch> patches, pid_t stopped) {
  return std::all_of(patches.begin(), patches.end(), [&](const AgentPatch& patch) {
    return memory.write_value(patch.address, patch.new_value, stopped) &&
           memory.try_read<std::uint64_t>(patch.address) == patch.new_value;
  });
}

bool undo_patches(const WritableMemory& memory, std::span<AgentPatch> patches, pid_t stopped) {
  bool all = true;
  // Backwards: of a word that was hooked twice, the later entry says what the loader bound it to in between.
  std::unordered_set<std::uint64_t> done;
  for (std::size_t left = patches.size(); left > 0; --left) {
    AgentPatch* const patch = &patches[left - 1];
    if (patch->state != kPatchWritten || patch->kind == PatchKind::kNone || patch->address % 8 != 0) continue;
    if (!done.insert(patch->address).second) {
      patch->state = kPatchUndone;
      continue;
    }
    const auto present = memory.try_read<std::uint64_t>(patch->address);
    if (present == patch->new_value) {
      if (memory.write_value(patch->address, patch->old_value, stopped) &&
          memory.try_read<std::uint64_t>(patch->address) == patch->old_value) {
        patch->state = kPatchUndone;
      } else {
        all = false;
      }
    } else {
      patch->state = !present || present == patch->old_value ? kPatchUndone : kPatchForeign;
    }
  }
  return all;
}

}  // namespace memsnap
