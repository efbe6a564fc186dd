#include "snapshot/cpython/initialized_word.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>

#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kFunction = 0x1000;

void put_code(FakeMemory& memory, std::initializer_list<std::uint8_t> bytes) {
  std::uint64_t at = kFunction;
  for (const std::uint8_t byte : bytes) memory.put(at++, byte);
  for (; at < kFunction + 64; ++at) memory.put(at, std::uint8_t{0xcc});
}

TEST(InitializedWord, AVariableOfTheProgramItself) {
  FakeMemory memory;
  memory.map(kFunction, 0x1000);
  put_code(memory, {0xf3, 0x0f, 0x1e, 0xfa, 0x8b, 0x05, 0x10, 0x02, 0x00, 0x00, 0xc3});

  EXPECT_EQ(variable_returned(memory, kFunction), kFunction + 10 + 0x210);
}

TEST(InitializedWord, AMemberOfAStructureThatATableLeadsTo) {
  FakeMemory memory;
  memory.map(kFunction, 0x1000);
  memory.put(kFunction + 7 + 0x100, std::uint64_t{0x5000});
  put_code(memory, {0x48, 0x8b, 0x05, 0x00, 0x01, 0x00, 0x00, 0x8b, 0x80, 0x58, 0x02, 0x00, 0x00, 0xc3});
  EXPECT_EQ(variable_returned(memory, kFunction), 0x5258u);

  put_code(memory, {0x48, 0x8b, 0x05, 0x00, 0x01, 0x00, 0x00, 0x8b, 0x40, 0x10, 0xc3});
  EXPECT_EQ(variable_returned(memory, kFunction), 0x5010u);
}

TEST(InitializedWord, AnythingElseIsNotGuessed) {
  FakeMemory memory;
  memory.map(kFunction, 0x1000);
  put_code(memory, {0x8b, 0x05, 0x10, 0x02, 0x00, 0x00, 0x85, 0xc0, 0xc3});  // more than one instruction
  EXPECT_FALSE(variable_returned(memory, kFunction));
  put_code(memory, {0x31, 0xc0, 0xc3});
  EXPECT_FALSE(variable_returned(memory, kFunction));
  put_code(memory, {0x48, 0x8b, 0x05, 0x00, 0x00, 0x10, 0x00, 0x8b, 0x40, 0x10, 0xc3});  // its table is not there
  EXPECT_FALSE(variable_returned(memory, kFunction));
  EXPECT_FALSE(variable_returned(memory, 0x9000));
}

}  // namespace
}  // namespace memsnap
