#include "inject/control/got_patches.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "inject/control/hooked_functions.h"
#include "inject/control/loaded_library.h"
#include "inject/control/patches.h"

namespace memsnap {
namespace {

constexpr std::size_t kCacheBytes = 64u << 20;
constexpr std::uint64_t kMostSegment = 256u << 20;
constexpr std::size_t kMostSlots = 60000;  // fewer than the journal has room for

using Libraries = std::vector<const ElfImage*>;

struct Definition {
  const ElfImage* library = nullptr;
  std::uint64_t address = 0;
};

Definition definition_of(const Libraries& libraries, std::string_view name) {
  for (const ElfImage* const library : libraries) {
    if (const auto found = library->exported_function(name)) return {library, *found};
  }
  return {};
}

// The loader and the C library.
bool is_system(const ElfImage& library) {
  return library.exported_function("__tls_get_addr") || library.exported_function("__libc_start_main");
}

class Planner {
 public:
  Planner(const Libraries& libraries, const MemoryMap& map, const ProcessMemory& memory, const GotWishes& wishes)
      : libraries_(libraries), map_(map), memory_(memory), wishes_(wishes) {}

  GotPlan plan() {
    malloc_ = definition_of(libraries_, "malloc");
    if (malloc_.library == nullptr) return {};
    plan_.allocator = malloc_.library->path();
    plan_.libraries = libraries_.size();
    find_functions();
    bool sure = true;  // which malloc an unbound word of this library would lead to
    for (const ElfImage* const library : libraries_) {
      const bool system = is_system(*library);
      if (library != malloc_.library && !system) {
        sure = sure && !library->exported_function("malloc");
        look_at(*library, sure);
      }
    }
    const auto by_address = [](const GotSlot& a, const GotSlot& b) { return a.address < b.address; };
    const auto same = [](const GotSlot& a, const GotSlot& b) { return a.address == b.address; };
    std::sort(plan_.slots.begin(), plan_.slots.end(), by_address);
    plan_.slots.erase(std::unique(plan_.slots.begin(), plan_.slots.end(), same), plan_.slots.end());
    return std::move(plan_);
  }

 private:
  void find_functions() {
    const auto functions = hooked_functions();
    for (std::size_t i = 0; i < functions.size(); ++i) {
      const Definition found = definition_of(libraries_, functions[i].symbol);
      if (found.library == nullptr) continue;
      // An operator new that calls malloc is seen there.
      if (functions[i].group == HookGroup::kNew && found.library != malloc_.library) continue;
      plan_.real.*functions[i].real = found.address;  // a hook of another function may need it
      if (i >= wishes_.functions.size() || !wishes_.functions[i]) continue;
      plan_.allocators |= functions[i].allocators;
      wanted_.emplace(functions[i].symbol, i);
    }
  }

  void look_at(const ElfImage& library, bool sure) {
    const ElfImage::Section range = library.range();
    each_imported_word(library, memory_, [&](const SymbolWord& word) {
      const auto found = wanted_.find(word.name);
      if (found == wanted_.end() || plan_.slots.size() >= kMostSlots) return;
      const auto value = memory_.try_read<std::uint64_t>(word.address);
      const Mapping* const place = map_.find(word.address);
      if (!value || place == nullptr || place->shared) return;
      if (*value >= wishes_.ours_begin && *value < wishes_.ours_end) return;
      const bool unbound = word.is_call && sure && *value >= range.begin && *value < range.end && is_code(*value);
      if (*value == plan_.real.*hooked_functions()[found->second].real || unbound) {
        plan_.slots.push_back({word.address, *value, found->second});
      } else if (is_code(*value)) {
        ++plan_.foreign;
      }  // else not relocated yet: the library is just being loaded
    });
  }

  bool is_code(std::uint64_t address) const {
    const Mapping* const mapping = map_.find(address);
    return mapping != nullptr && mapping->executable;
  }

  const Libraries& libraries_;
  const MemoryMap& map_;
  const ProcessMemory& memory_;
  const GotWishes& wishes_;
  Definition malloc_;
  std::unordered_map<std::string_view, std::size_t> wanted_;
  GotPlan plan_;
};

}  // namespace

GotPlan plan_got(pid_t pid, const MemoryMap& map, const ProcessMemory& memory, const GotWishes& wishes) {
  const CachedMemory cached(memory, map, kCacheBytes);
  const auto images = loaded_images(pid, map, cached);
  const Libraries libraries = in_load_order(images, cached);
  GotPlan plan = Planner(libraries, map, cached, wishes).plan();
  plan.loader = loader_record(images, cached);
  plan.libraries_loaded = libraries_loaded(plan.loader, cached);
  if (plan.allocator.empty()) {
    throw Error(
        ExitCode::kUnsupported,
        fmt::format("process {} has no malloc that can be hooked: a static program, or one of another loader", pid),
        "a snapshot works all the same: memsnap snapshot");
  }
  return plan;
}

std::vector<GotSlot> function_words(pid_t pid, const MemoryMap& map, const ProcessMemory& memory) {
  std::unordered_map<std::string_view, std::size_t> functions;
  for (std::size_t i = 0; i < hooked_functions().size(); ++i) functions.emplace(hooked_functions()[i].symbol, i);
  const CachedMemory cached(memory, map, kCacheBytes);
  const auto images = loaded_images(pid, map, cached);
  std::vector<GotSlot> words;
  for (const ElfImage* const library : in_load_order(images, cached)) {
    each_imported_word(*library, cached, [&](const SymbolWord& word) {
      const auto found = functions.find(word.name);
      if (found == functions.end() || words.size() >= kMostSlots) return;
      const auto value = cached.try_read<std::uint64_t>(word.address);
      if (value) words.push_back({word.address, *value, found->second});
    });
  }
  return words;
}

std::vector<AgentPatch> hooked_words(pid_t pid, const MemoryMap& map, const ProcessMemory& memory,
                                     std::uint64_t image_begin, const AgentImage& image) {
  std::unordered_map<std::uint64_t, std::uint64_t> originals;  // by hook
  const auto config = memory.try_read<AgentConfig>(image_begin + image.symbol("memsnap_agent_config").value_or(0));
  if (!config || !image.symbol("memsnap_agent_config")) return {};
  const auto add = [&](const std::string& hook, std::uint64_t original) {
    if (const auto offset = image.symbol(hook); offset && original != 0) originals[image_begin + *offset] = original;
  };
  for (const HookedFunction& function : hooked_functions())
    add(hook_symbol(function.hook), config->functions.*function.real);
  for (const HookedDomain& domain : hooked_domains()) {
    for (const HookedMethod& method : hooked_methods())
      add(hook_symbol(std::string(domain.prefix).append(method.name)), config.value().*domain.functions.*method.real);
  }
  const CachedMemory cached(memory, map, kCacheBytes);
  const auto images = loaded_images(pid, map, cached);
  std::vector<AgentPatch> patches;
  std::vector<std::uint64_t> words;
  for (const ElfImage* const library : in_load_order(images, cached)) {
    for (const ElfImage::Section& segment : library->writable_segments()) {
      const std::uint64_t begin = (segment.begin + 7) & ~7ull;
      if (segment.end < begin || segment.end - begin > kMostSegment) continue;
      words.resize((segment.end - begin) / 8);
      if (!memory.copy(begin, std::as_writable_bytes(std::span(words)))) continue;
      for (std::size_t i = 0; i < words.size() && patches.size() < kMostSlots; ++i) {
        const auto found = originals.find(words[i]);
        if (found == originals.end()) continue;
        patches.push_back({begin + i * 8, found->second, words[i], PatchKind::kGotSlot, kPatchWritten});
      }
    }
  }
  return patches;
}

bool may_hook(const GotSlot& slot, std::uint64_t present, std::uint64_t real) {
  return present == slot.value || present == real;
}

}  // namespace memsnap
