#include "inject/control/hooked_functions.h"

#include <array>

namespace memsnap {
namespace {

constexpr std::uint32_t bit(Allocator allocator) { return 1u << static_cast<std::uint32_t>(allocator); }

using F = AgentConfig::Functions;
constexpr HookGroup kMalloc = HookGroup::kMalloc;
constexpr HookGroup kMap = HookGroup::kMap;
constexpr HookGroup kNew = HookGroup::kNew;
constexpr std::uint32_t kNewBit = bit(Allocator::kNew);

constexpr std::array kFunctions = {
    HookedFunction{"malloc", "malloc", kMalloc, &F::malloc, bit(Allocator::kMalloc)},
    HookedFunction{"free", "free", kMalloc, &F::free, 0},
    HookedFunction{"calloc", "calloc", kMalloc, &F::calloc, bit(Allocator::kCalloc)},
    HookedFunction{"realloc", "realloc", kMalloc, &F::realloc, bit(Allocator::kRealloc)},
    HookedFunction{"reallocarray", "reallocarray", kMalloc, &F::reallocarray, bit(Allocator::kRealloc)},
    HookedFunction{"posix_memalign", "posix_memalign", kMalloc, &F::posix_memalign, bit(Allocator::kPosixMemalign)},
    HookedFunction{"aligned_alloc", "aligned_alloc", kMalloc, &F::aligned_alloc, bit(Allocator::kAlignedAlloc)},
    HookedFunction{"memalign", "memalign", kMalloc, &F::memalign, bit(Allocator::kMemalign)},
    HookedFunction{"valloc", "valloc", kMalloc, &F::valloc, bit(Allocator::kValloc)},
    HookedFunction{"pvalloc", "pvalloc", kMalloc, &F::pvalloc, bit(Allocator::kPvalloc)},
    HookedFunction{"cfree", "cfree", kMalloc, &F::cfree, 0},
    HookedFunction{"free_sized", "free_sized", kMalloc, &F::free_sized, 0},
    HookedFunction{"free_aligned_sized", "free_aligned_sized", kMalloc, &F::free_aligned_sized, 0},
    HookedFunction{"mmap", "mmap", kMap, &F::mmap, bit(Allocator::kMmap)},
    HookedFunction{"mmap64", "mmap64", kMap, &F::mmap64, bit(Allocator::kMmap)},
    HookedFunction{"munmap", "munmap", kMap, &F::munmap, 0},
    HookedFunction{"mremap", "mremap", kMap, &F::mremap, bit(Allocator::kMmap)},
    HookedFunction{"dlopen", "dlopen", HookGroup::kLoad, &F::dlopen, 0},
    HookedFunction{"dlmopen", "dlmopen", HookGroup::kLoad, &F::dlmopen, 0},
    HookedFunction{"_Znwm", "new_plain", kNew, &F::new_plain, kNewBit},
    HookedFunction{"_Znam", "new_array", kNew, &F::new_array, kNewBit},
    HookedFunction{"_ZnwmRKSt9nothrow_t", "new_nothrow", kNew, &F::new_nothrow, kNewBit},
    HookedFunction{"_ZnamRKSt9nothrow_t", "new_array_nothrow", kNew, &F::new_array_nothrow, kNewBit},
    HookedFunction{"_ZnwmSt11align_val_t", "new_aligned", kNew, &F::new_aligned, kNewBit},
    HookedFunction{"_ZnamSt11align_val_t", "new_array_aligned", kNew, &F::new_array_aligned, kNewBit},
    HookedFunction{"_ZnwmSt11align_val_tRKSt9nothrow_t", "new_aligned_nothrow", kNew, &F::new_aligned_nothrow, kNewBit},
    HookedFunction{"_ZnamSt11align_val_tRKSt9nothrow_t", "new_array_aligned_nothrow", kNew,
                   &F::new_array_aligned_nothrow, kNewBit},
    HookedFunction{"_ZdlPv", "delete_plain", kNew, &F::delete_plain, 0},
    HookedFunction{"_ZdaPv", "delete_array", kNew, &F::delete_array, 0},
    HookedFunction{"_ZdlPvm", "delete_sized", kNew, &F::delete_sized, 0},
    HookedFunction{"_ZdaPvm", "delete_array_sized", kNew, &F::delete_array_sized, 0},
    HookedFunction{"_ZdlPvSt11align_val_t", "delete_aligned", kNew, &F::delete_aligned, 0},
    HookedFunction{"_ZdaPvSt11align_val_t", "delete_array_aligned", kNew, &F::delete_array_aligned, 0},
};

using D = AgentConfig::Domain;
constexpr std::array<HookedMethod, 4> kMethods = {
    {{"malloc", 8, &D::malloc}, {"calloc", 16, &D::calloc}, {"realloc", 24, &D::realloc}, {"free", 32, &D::free}}};
constexpr std::array<HookedDomain, 2> kDomains = {
    {{"mem_", &AgentConfig::domain_mem}, {"object_", &AgentConfig::domain_obj}}};

}  // namespace

std::span<const HookedMethod> hooked_methods() { return kMethods; }
std::span<const HookedDomain> hooked_domains() { return kDomains; }

std::span<const HookedFunction> hooked_functions() { return kFunctions; }

}  // namespace memsnap
