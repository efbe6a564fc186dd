#include "inject/control/agent_image.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <vector>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "inject/control/agent_blob.h"
#include "inject/control/hooked_functions.h"
#include "inject/protocol/agent_abi.h"

namespace memsnap {
namespace {

std::vector<std::byte> built_agent() { return {agent_blob().begin(), agent_blob().end()}; }

TEST(AgentImage, BuiltAgentHasAHookForEveryFunction) {
  const AgentImage image = AgentImage::parse(built_agent());

  for (const HookedFunction& function : hooked_functions()) {
    if (function.hook.ends_with("aligned_nothrow")) continue;  // it is called by hooks, not hooked
    if (function.hook == "mmap64" || function.hook == "cfree") continue;
    EXPECT_TRUE(image.symbol(hook_symbol(function.hook))) << function.hook;
  }
  for (const HookedDomain& domain : hooked_domains()) {
    for (const HookedMethod& method : hooked_methods())
      EXPECT_TRUE(image.symbol(hook_symbol(std::string(domain.prefix).append(method.name)))) << method.name;
  }
  const auto config = image.symbol("memsnap_agent_config");
  ASSERT_TRUE(config);
  EXPECT_GE(*config, image.writable_begin());
  EXPECT_LE(*config + sizeof(AgentConfig), image.size());
  EXPECT_EQ(image.size() % kPageSize, 0u);
}

TEST(AgentImage, EntriesAreNamedAndNothingElseIs) {
  const AgentImage image = AgentImage::parse(built_agent());

  ASSERT_GT(image.entries().size(), 20u);
  for (const std::uint64_t entry : image.entries()) {
    EXPECT_LT(entry, image.writable_begin());
    EXPECT_FALSE(image.name_of(entry).empty());
    EXPECT_TRUE(image.name_of(entry + 1).empty());
  }
}

TEST(AgentImage, ImageInMemoryReadsBackTheSame) {
  const AgentImage image = AgentImage::parse(built_agent());
  std::vector<std::byte> room(image.size() + kPageSize);
  const auto begin = (reinterpret_cast<std::uint64_t>(room.data()) + kPageSize - 1) & ~(kPageSize - 1);
  const std::vector<std::byte> bytes = image.relocated(begin);
  std::memcpy(reinterpret_cast<void*>(begin), bytes.data(), bytes.size());

  const auto again = AgentImage::read(LiveMemory(::getpid()), begin);

  ASSERT_TRUE(again);
  EXPECT_EQ(again->size(), image.size());
  EXPECT_EQ(again->entries(), image.entries());
  EXPECT_EQ(again->relocated(begin), bytes);
  EXPECT_FALSE(AgentImage::read(LiveMemory(::getpid()), begin + 16));
}

TEST(AgentImage, CallsAreTold) {
  const AgentImage image = AgentImage::parse(built_agent());
  const std::vector<std::byte> bytes = image.relocated(0);

  std::size_t calls = 0;
  for (std::uint64_t at = 5; at < image.writable_begin(); ++at) {
    if (bytes[at - 5] == std::byte{0xe8}) {
      EXPECT_TRUE(image.is_return_address(at));
      ++calls;
    }
  }
  EXPECT_GT(calls, 10u);
  EXPECT_FALSE(image.is_return_address(0));
  EXPECT_FALSE(image.is_return_address(image.size() + 1));
}

// Each is either refused or stays within its bytes.
void try_file(const std::vector<std::byte>& file) {
  try {
    const AgentImage image = AgentImage::parse(file);
    EXPECT_LE(image.size(), 16u << 20);
    const auto bytes = image.relocated(0x10000);
    EXPECT_EQ(bytes.size(), image.size());
    for (const std::uint64_t entry : image.entries()) {
      EXPECT_LT(entry, image.size());
      image.is_return_address(entry);
    }
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInternal);
  }
}

TEST(AgentImage, CutFilesAreRefused) {
  const std::vector<std::byte> whole = built_agent();
  for (std::size_t size = 0; size < whole.size(); size += 997) {
    try_file({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
  }
  EXPECT_THROW(AgentImage::parse({}), Error);
}

TEST(AgentImage, DamagedFilesDoNoHarm) {
  const std::vector<std::byte> whole = built_agent();
  std::mt19937 random(20261121);
  for (int i = 0; i < 400; ++i) {
    std::vector<std::byte> file = whole;
    for (int k = 0; k < 8; ++k) {
      const std::size_t where = random() % (k < 6 ? std::min<std::size_t>(4096, file.size()) : file.size());
      file[where] = static_cast<std::byte>(random());
    }
    try_file(file);
  }
}

}  // namespace
}  // namespace memsnap
