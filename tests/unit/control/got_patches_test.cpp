#include "inject/control/got_patches.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "inject/control/hooked_functions.h"
#include "inject/control/loaded_library.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

std::uint64_t address_of(const char* name) { return reinterpret_cast<std::uint64_t>(::dlsym(RTLD_DEFAULT, name)); }

GotPlan plan_of_this_process(const std::vector<bool>& functions) {
  const pid_t pid = ::getpid();
  return plan_got(pid, MemoryMap::of(pid), LiveMemory(pid), {.functions = functions});
}

TEST(GotPlan, RealFunctionsAreThoseThatTheLoaderFinds) {
  const GotPlan plan = plan_of_this_process(std::vector<bool>(hooked_functions().size(), true));

  EXPECT_EQ(plan.real.malloc, address_of("malloc"));
  EXPECT_EQ(plan.real.free, address_of("free"));
  EXPECT_EQ(plan.real.posix_memalign, address_of("posix_memalign"));
  EXPECT_EQ(plan.real.munmap, address_of("munmap"));
  EXPECT_EQ(plan.real.free_sized, 0u) << "not before C23";
#ifndef __SANITIZE_ADDRESS__
  EXPECT_EQ(plan.real.new_plain, 0u) << "operator new calls malloc here, which is enough";
#endif
  EXPECT_NE(plan.allocator, "");
  EXPECT_GT(plan.libraries, 4u);
}

TEST(GotPlan, EveryWordLeadsToItsFunctionOrIsUnbound) {
  const GotPlan plan = plan_of_this_process(std::vector<bool>(hooked_functions().size(), true));

  ASSERT_GT(plan.slots.size(), 10u);
  const MemoryMap map = MemoryMap::of(::getpid());
  for (const GotSlot& slot : plan.slots) {
    const std::uint64_t real = plan.real.*hooked_functions()[slot.function].real;
    EXPECT_EQ(*reinterpret_cast<const std::uint64_t*>(slot.address), slot.value);
    EXPECT_TRUE(slot.value == real || map.find(slot.value)->name == map.find(slot.address)->name) << slot.function;
    EXPECT_EQ(map.find(slot.address)->name.find("/ld-"), std::string::npos);
    EXPECT_EQ(map.find(slot.address)->name.find("/libc."), std::string::npos);
  }
  EXPECT_TRUE(std::is_sorted(plan.slots.begin(), plan.slots.end(),
                             [](const GotSlot& a, const GotSlot& b) { return a.address < b.address; }));
}

TEST(GotPlan, OnlyWhatIsWanted) {
  std::vector<bool> functions(hooked_functions().size(), false);
  functions[0] = true;  // malloc

  const GotPlan plan = plan_of_this_process(functions);

  ASSERT_FALSE(plan.slots.empty());
  for (const GotSlot& slot : plan.slots) EXPECT_EQ(slot.function, 0u);
  EXPECT_EQ(plan.allocators, 1u << static_cast<unsigned>(Allocator::kMalloc));
}

TEST(GotPlan, WordsThatAreOursAreLeftOut) {
  const GotPlan plan = plan_of_this_process(std::vector<bool>(hooked_functions().size(), true));
  const GotWishes wishes{.functions = std::vector<bool>(hooked_functions().size(), true),
                         .ours_begin = plan.real.malloc,
                         .ours_end = plan.real.malloc + 1};

  const GotPlan rest = plan_got(::getpid(), MemoryMap::of(::getpid()), LiveMemory(::getpid()), wishes);

  const auto bound = std::count_if(plan.slots.begin(), plan.slots.end(),
                                   [&](const GotSlot& slot) { return slot.value == plan.real.malloc; });
  ASSERT_GT(bound, 0);
  EXPECT_EQ(rest.slots.size(), plan.slots.size() - static_cast<std::size_t>(bound));
}

TEST(GotPlan, NoLibrariesIsRefused) {
  const FakeMemory memory;
  try {
    plan_got(::getpid(), MemoryMap({}), memory, {});
    ADD_FAILURE() << "it was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUnsupported);
  }
}

TEST(MayHook, WordsThatChangedAreHookedOnlyWhenTheyWereBound) {
  const GotSlot slot{.address = 8, .value = 0x1000, .function = 0};
  EXPECT_TRUE(may_hook(slot, 0x1000, 0x2000));
  EXPECT_TRUE(may_hook(slot, 0x2000, 0x2000));
  EXPECT_FALSE(may_hook(slot, 0x3000, 0x2000));
}

}  // namespace
}  // namespace memsnap
