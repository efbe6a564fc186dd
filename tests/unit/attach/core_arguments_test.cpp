#include "attach/core_arguments.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace memsnap {
namespace {

constexpr std::uint64_t kBase = 0x7ffd00000000;
constexpr std::uint64_t kTexts = 0x800;
constexpr std::uint64_t kRandom = 0x700;

// The top of a stack as execve(2) leaves it, in 4 KiB.
class FakeStack final : public ProcessMemory {
 public:
  FakeStack() {
    std::memcpy(bytes.data() + kTexts, "python3\0shop.py\0--fast", 23);
    const std::vector<std::uint64_t> words{0x1234,
                                           3,
                                           kBase + kTexts,
                                           kBase + kTexts + 8,
                                           kBase + kTexts + 16,
                                           0,
                                           kBase + kTexts,
                                           0,
                                           AT_SYSINFO_EHDR,
                                           0x7000,
                                           AT_PHDR,
                                           0x40,
                                           AT_RANDOM,
                                           kBase + kRandom,
                                           AT_EXECFN,
                                           kBase + kTexts,
                                           AT_NULL,
                                           0};
    std::memcpy(bytes.data() + 0x100, words.data(), words.size() * 8);
  }
  bool copy(std::uint64_t address, std::span<std::byte> out) const override {
    if (address < kBase || address - kBase > bytes.size() || out.size() > bytes.size() - (address - kBase))
      return false;
    std::memcpy(out.data(), bytes.data() + (address - kBase), out.size());
    return true;
  }

  std::vector<std::byte> bytes = std::vector<std::byte>(4096);
};

TEST(CoreArguments, AreReadOffTheStack) {
  const FakeStack stack;

  const auto arguments = arguments_on_stack(stack, kBase + kRandom);

  EXPECT_EQ(arguments, (std::vector<std::string>{"python3", "shop.py", "--fast"}));
}

TEST(CoreArguments, AStackThatIsNotThereHasNone) {
  const FakeStack stack;

  EXPECT_TRUE(arguments_on_stack(stack, 0).empty());
  EXPECT_TRUE(arguments_on_stack(stack, 17).empty());
  EXPECT_TRUE(arguments_on_stack(stack, kBase + 8).empty());
  EXPECT_TRUE(arguments_on_stack(stack, kBase + kRandom + 16).empty());
  EXPECT_TRUE(arguments_on_stack(stack, ~0ull).empty());
}

TEST(CoreArguments, AnOverwrittenStackEndsInAnAnswer) {
  std::mt19937 random(3);  // NOLINT(cert-msc51-cpp): the same each time
  for (int round = 0; round < 2000; ++round) {
    FakeStack stack;
    for (int i = 0; i < 8; ++i) stack.bytes[0x100 + random() % 0x90] = static_cast<std::byte>(random());
    EXPECT_LE(arguments_on_stack(stack, kBase + kRandom).size(), 4096u);
  }
}

}  // namespace
}  // namespace memsnap
