#include "inject/control/unwind_rules.h"

#include <gtest/gtest.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "inject/control/native_tables.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kTables = 0x700000;
constexpr std::uint64_t kCode = 0x400000;
constexpr std::uint64_t kEnd = 0x800000;

// .eh_frame as an assembler would write it.
class Tables {
 public:
  using Bytes = std::vector<std::uint8_t>;

  // CFA = rsp + 8, return address at CFA - 8, as every compiler begins.
  std::uint64_t common(const std::string_view augmentation = "zR", Bytes program = {0x0c, 7, 8, 0x90, 1},
                       int version = 1) {
    Bytes body{0, 0, 0, 0, static_cast<std::uint8_t>(version)};
    body.insert(body.end(), augmentation.begin(), augmentation.end());
    body.insert(body.end(), {0, 1, 0x78, 16});                              // factors 1 and -8, return address
    if (augmentation.starts_with("z")) body.insert(body.end(), {1, 0x1b});  // pointers of 4 bytes to the place itself
    body.insert(body.end(), program.begin(), program.end());
    return add(body);
  }
  void function(std::uint64_t common, std::uint64_t begin, std::uint32_t size, const Bytes& program) {
    Bytes body(12);
    const std::uint64_t at = kTables + bytes_.size() + 4;
    put(body, 0, static_cast<std::uint32_t>(at - common));
    put(body, 4, static_cast<std::uint32_t>(begin - (at + 4)));
    put(body, 8, size);
    body.push_back(0);  // no augmentation data
    body.insert(body.end(), program.begin(), program.end());
    add(body);
  }
  std::vector<std::byte>& bytes() { return bytes_; }
  UnwindRows compile() const {
    return compile_unwind_rules({.bytes = bytes_, .address = kTables, .begin = kCode, .end = kEnd});
  }

 private:
  static void put(Bytes& to, std::size_t at, std::uint32_t value) { std::memcpy(to.data() + at, &value, 4); }
  std::uint64_t add(Bytes body) {
    while (body.size() % 4 != 0) body.push_back(0);
    const std::uint64_t at = kTables + bytes_.size();
    Bytes length(4);
    put(length, 0, static_cast<std::uint32_t>(body.size()));
    for (const Bytes& part : {length, body}) {
      const auto raw = std::as_bytes(std::span(part));
      bytes_.insert(bytes_.end(), raw.begin(), raw.end());
    }
    return at;
  }

  std::vector<std::byte> bytes_;
};

UnwindRule at(const UnwindRows& rows, std::uint64_t address) { return rule_for(rows.rows, address - kCode); }
UnwindRule stack(std::uint32_t offset, std::uint32_t base = 0) { return {UnwindKind::kStack, offset, base}; }
constexpr UnwindRule kUnknown{.kind = UnwindKind::kUnknown};

TEST(UnwindRule, IsPackedIntoAWord) {
  for (const UnwindRule rule :
       {stack(8), stack(kMostUnwindOffset, kMostUnwindBase), UnwindRule{UnwindKind::kIndirect, 16, kBaseAtBase},
        UnwindRule{UnwindKind::kBase, 16, 16}, kUnknown, UnwindRule{}}) {
    EXPECT_EQ(unpacked(packed(rule)), rule);
  }
}

TEST(UnwindRules, APrologueHasARowForEachPush) {
  Tables tables;
  // push rbp; mov rsp, rbp; ...; leave
  tables.function(tables.common(), kCode + 0x100, 0x40, {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x7a, 0x0c, 7, 8});

  const UnwindRows rows = tables.compile();

  EXPECT_EQ(at(rows, kCode + 0xff), UnwindRule{});
  EXPECT_EQ(at(rows, kCode + 0x100), stack(8));
  EXPECT_EQ(at(rows, kCode + 0x101), stack(16, 16));
  EXPECT_EQ(at(rows, kCode + 0x104), (UnwindRule{UnwindKind::kBase, 16, 16}));
  EXPECT_EQ(at(rows, kCode + 0x13d), (UnwindRule{UnwindKind::kBase, 16, 16}));
  EXPECT_EQ(at(rows, kCode + 0x13e), stack(8, 16));
  EXPECT_EQ(at(rows, kCode + 0x140), UnwindRule{});
  ASSERT_EQ(rows.functions.size(), 1u);
  EXPECT_EQ(rows.functions[0].end, kCode + 0x140);
}

TEST(UnwindRules, StatesAreRememberedAndRestored) {
  Tables tables;
  tables.function(tables.common(), kCode, 0x40, {0x41, 0x0e, 16, 0x86, 2, 0x44, 0x0a, 0x0e, 8, 0xc6, 0x41, 0x0b});

  const UnwindRows rows = tables.compile();

  EXPECT_EQ(at(rows, kCode + 1), stack(16, 16));
  EXPECT_EQ(at(rows, kCode + 5), stack(8));
  EXPECT_EQ(at(rows, kCode + 6), stack(16, 16));
}

TEST(UnwindRules, AFunctionThatAlignsItsStackIsFollowedThroughWhatItKept) {
  Tables tables;
  tables.function(tables.common(), kCode, 0x40,
                  {0x44, 0x0c, 10, 0,                  // CFA = r10
                   0x44, 0x10, 6, 2, 0x76, 0,          // rbp at rbp + 0
                   0x44, 0x0f, 3, 0x76, 0x78, 0x06});  // CFA at rbp - 8

  const UnwindRows rows = tables.compile();

  EXPECT_EQ(at(rows, kCode + 5), kUnknown);
  EXPECT_EQ(at(rows, kCode + 0xc), (UnwindRule{UnwindKind::kIndirect, 8, kBaseAtBase}));
}

TEST(UnwindRules, WhatHasNoRowEndsAStack) {
  Tables tables;
  const std::uint64_t common = tables.common();
  const std::uint64_t signal = tables.common("zRS");
  tables.function(common, kCode, 0x10,
                  {0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22});  // of a PLT
  tables.function(common, kCode + 0x10, 0x10, {0x0c, 3, 8});                                // CFA = rbx + 8
  tables.function(common, kCode + 0x20, 0x10, {0x0e, 12});                                  // no multiple of eight
  tables.function(common, kCode + 0x30, 0x10, {0x0e, 0x80, 0x80, 0x80, 0x80, 0x01});
  tables.function(common, kCode + 0x40, 0x10, {0x07, 6});      // rbp is lost
  tables.function(common, kCode + 0x50, 0x10, {0x09, 16, 0});  // the return address is in a register
  tables.function(signal, kCode + 0x60, 0x10, {});
  tables.function(common, kCode + 0x70, 0x10, {0x07, 16});  // there is no caller

  const UnwindRows rows = tables.compile();

  for (std::uint64_t address = kCode; address < kCode + 0x70; address += 0x10)
    EXPECT_EQ(at(rows, address), kUnknown) << address;
  EXPECT_EQ(at(rows, kCode + 0x70), UnwindRule{.kind = UnwindKind::kOutermost});
}

TEST(UnwindRules, FunctionsThatOverlapAreLeftOut) {
  Tables tables;
  const std::uint64_t common = tables.common();
  tables.function(common, kCode + 0x100, 0x40, {});
  tables.function(common, kCode + 0x120, 0x40, {0x0e, 64});
  tables.function(common, kEnd - 8, 0x40, {});
  tables.function(common, kCode - 0x1000, 0x40, {});

  const UnwindRows rows = tables.compile();

  EXPECT_EQ(rows.functions.size(), 1u);
  EXPECT_EQ(at(rows, kCode + 0x130), stack(8));
  EXPECT_EQ(at(rows, kCode + 0x150), UnwindRule{});
}

TEST(UnwindRules, AnEntryWithoutItsDescriptionIsLeftOut) {
  Tables tables;
  const std::uint64_t common = tables.common();
  tables.function(common + 4, kCode, 0x40, {});
  tables.function(common, kCode + 0x40, 0x40, {});

  EXPECT_EQ(tables.compile().functions.size(), 1u);
}

bool is_sound(const UnwindRows& rows, std::uint64_t size) {
  const auto ascending = [](const AgentRule& a, const AgentRule& b) { return a.offset >= b.offset; };
  if (std::adjacent_find(rows.rows.begin(), rows.rows.end(), ascending) != rows.rows.end()) return false;
  return std::all_of(rows.rows.begin(), rows.rows.end(), [&](const AgentRule& row) {
    const UnwindRule rule = unpacked(row.rule);
    return row.offset < size && rule.kind <= UnwindKind::kUnknown;
  });
}

// Every byte of a small table, and many of a large one, is another.
TEST(UnwindRules, ForgedTablesGiveSoundRowsOrNone) {
  Tables tables;
  const std::uint64_t common = tables.common();
  tables.function(common, kCode + 0x100, 0x40, {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x7a, 0x0b});
  tables.function(tables.common("zPLR", {0x0c, 7, 8, 0x90, 1}), kCode + 0x200, 0x40, {0x0f, 3, 0x76, 0x78, 0x06});
  for (std::size_t i = 0; i < tables.bytes().size(); ++i) {
    for (unsigned value = 0; value < 256; ++value) {
      Tables forged = tables;
      forged.bytes()[i] = static_cast<std::byte>(value);
      ASSERT_TRUE(is_sound(forged.compile(), kEnd - kCode)) << i << " " << value;
    }
  }
}

struct Loaded {
  std::vector<std::byte> bytes;
  std::uint64_t address = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Of the C library that this test runs with.
Loaded tables_of_libc() {
  Loaded found;
  const auto visit = [](dl_phdr_info* info, std::size_t, void* data) {
    if (std::strstr(info->dlpi_name, "libc.so") == nullptr) return 0;
    auto& loaded = *static_cast<Loaded*>(data);
    std::uint64_t header = 0;
    loaded.begin = info->dlpi_addr;
    for (const ElfW(Phdr) & program : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
      if (program.p_type == PT_GNU_EH_FRAME) header = info->dlpi_addr + program.p_vaddr;
      if (program.p_type == PT_LOAD) loaded.end = info->dlpi_addr + program.p_vaddr + program.p_memsz;
    }
    std::int32_t distance = 0;
    std::memcpy(&distance, reinterpret_cast<const void*>(header + 4), sizeof(distance));
    loaded.address = header + 4 + static_cast<std::uint64_t>(std::int64_t{distance});
    for (const ElfW(Phdr) & program : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
      const std::uint64_t begin = info->dlpi_addr + program.p_vaddr;
      if (program.p_type != PT_LOAD || loaded.address < begin || loaded.address >= begin + program.p_filesz) continue;
      const auto* const first = reinterpret_cast<const std::byte*>(loaded.address);
      loaded.bytes.assign(first, first + (begin + program.p_filesz - loaded.address));
    }
    return 1;
  };
  dl_iterate_phdr(visit, &found);
  return found;
}

TEST(UnwindRules, AWholeLibraryIsCompiled) {
  const Loaded libc = tables_of_libc();
  ASSERT_FALSE(libc.bytes.empty());

  const UnwindRows rows = compile_unwind_rules({libc.bytes, libc.address, libc.begin, libc.end});

  EXPECT_GT(rows.functions.size(), 2000u);
  EXPECT_TRUE(is_sound(rows, libc.end - libc.begin));
  std::size_t unknown = 0;
  for (const AgentRule& row : rows.rows) unknown += unpacked(row.rule).kind == UnwindKind::kUnknown ? 1u : 0u;
  EXPECT_LT(unknown * 50, rows.rows.size());
}

TEST(UnwindRules, ForgedTablesOfALibraryGiveSoundRows) {
  const Loaded libc = tables_of_libc();
  std::mt19937 random(20240601);
  for (int round = 0; round < 400; ++round) {
    Loaded forged = libc;
    for (int i = 0; i < 3; ++i) forged.bytes[random() % forged.bytes.size()] = static_cast<std::byte>(random());
    if (round % 8 == 0) forged.bytes.resize(random() % forged.bytes.size());
    ASSERT_TRUE(
        is_sound(compile_unwind_rules({forged.bytes, forged.address, forged.begin, forged.end}), libc.end - libc.begin))
        << round;
  }
}

}  // namespace
}  // namespace memsnap
