#include "snapshot/cpython/line_table.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace memsnap {
namespace {

// As interpreters made them of one function, with what they say themselves: so many instructions of that line, -1:
// none.
struct Table {
  const char* release;
  LineTableForm form;
  const char* bytes;
  std::vector<std::pair<int, int>> lines;
};

// clang-format off
const std::vector<Table>& tables() {
  static const std::vector<Table> all{
      {"3.8", LineTableForm::kLnotab,
       "0002060102ff0602020102020201020102fe02fe0806067f004c0801040104010601020102ff",
       {{3, 3}, {1, 4}, {3, 3}, {1, 5}, {1, 6}, {1, 8}, {1, 9}, {1, 10}, {1, 8}, {4, 6}, {3, 12}, {4, 215}, {2, 216},
        {2, 217}, {3, 218}, {1, 219}, {1, 220}, {13, 219}}},
      {"3.10", LineTableForm::kRanges,
       "0602020106ff0202020102020201020102fe06fe0c06007f084c0401020102ff06020201020102ff24ff",
       {{3, 3}, {1, 4}, {3, 3}, {1, 5}, {1, 6}, {1, 8}, {1, 9}, {1, 10}, {1, 8}, {3, 6}, {6, 12}, {4, 215}, {2, 216},
        {1, 217}, {1, 216}, {3, 218}, {1, 219}, {1, 220}, {1, 219}, {18, 218}}},
      {"3.11", LineTableForm::kLocations,
       "8000f004010915f000010915d81213f003010915f100010915f4000109158041f00407050ed80d0ee00d0e8851d81112d81112f105020e14"
       "f400020e14f105040e148801f00c000d0e88018801f8884188018805880588058805f05606000e0ff000020515f0000205158801d80b0cf0"
       "00010915d80c14f003010915e0090af0000205068861d81011d80304f003011006f003020506f000020506f000020506f000020506f10002"
       "0506f400020506f000020506f000020506f000020506f000020506f000020506f000020506f8f8f8f000020506f000020506f000020506f0"
       "00020506f000020506f000020506",
       {{1, 1}, {2, 3}, {1, 4}, {9, 3}, {1, 5}, {1, 6}, {2, 8}, {1, 9}, {1, 10}, {7, 8}, {3, 6}, {3, 12}, {1, -1},
        {6, 12}, {4, 215}, {2, 216}, {1, 217}, {1, 216}, {3, 218}, {1, 219}, {1, 220}, {1, 219}, {17, 218}, {3, -1},
        {6, 218}}},
      {"3.13", LineTableForm::kLocations,
       "8000f106001314f303010915d912138851f303000a0bd91213f003000506f000010915f00407050ed80d0ee10d0ed81112d81112f305020e"
       "14f105040e148801f00c000d0e8801f35606000e0f8801df0b0c8831d90c14f105000e0ff106000a0b8861d81011d80304f003011006f703"
       "000a0b8911f9f26f06010915f8f012000d0e8901faf75c06000a0b8d11fa",
       {{1, 1}, {2, 4}, {4, 3}, {3, 4}, {4, 3}, {2, 4}, {2, 3}, {1, 5}, {1, 6}, {2, 8}, {1, 9}, {1, 10}, {4, 8}, {3, 6},
        {2, 12}, {5, 215}, {9, 216}, {2, 217}, {2, 215}, {3, 218}, {1, 219}, {1, 220}, {1, 219}, {10, 218}, {2, -1},
        {3, 3}, {1, -1}, {3, 12}, {3, -1}, {14, 218}, {3, -1}}},
      {"3.15", LineTableForm::kLocations,
       "8100f006001314f303010915db12138851f303000a0bd91213f003000506f000010915f00407050ed80d0ee10d0ed81112d81112f305020e"
       "14f505040e148801f00c000d0e8801f45606000e0f8801df0b0c8931d90c14f105000e0ff706000a0b89118861d81011d80304f003011006"
       "f703000a0b8a11f9f26f06010915f8f012000d0e8901faf75c06000a0b8f118811fa",
       {{2, 1}, {1, 4}, {4, 3}, {5, 4}, {4, 3}, {2, 4}, {2, 3}, {1, 5}, {1, 6}, {2, 8}, {1, 9}, {1, 10}, {4, 8}, {7, 6},
        {2, 12}, {6, 215}, {10, 216}, {2, 217}, {2, 215}, {11, 218}, {1, 219}, {1, 220}, {1, 219}, {11, 218}, {2, -1},
        {3, 3}, {1, -1}, {3, 12}, {3, -1}, {17, 218}, {3, -1}}}};
  return all;
}
// clang-format on

std::vector<std::uint8_t> bytes_of(const std::string& hex) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

constexpr std::int32_t kFirstLine = 1;

TEST(LineTable, SaysWhatTheInterpreterSays) {
  for (const Table& table : tables()) {
    const auto bytes = bytes_of(table.bytes);
    std::int64_t address = 0;
    for (const auto& [count, line] : table.lines) {
      for (int i = 0; i < count; ++i, address += 2) {
        const auto found = line_of(table.form, bytes, kFirstLine, address);

        EXPECT_EQ(found.value_or(-1), line) << table.release << " at " << address;
      }
    }
  }
}

TEST(LineTable, BeforeTheFirstInstructionIsTheFirstLine) {
  for (const Table& table : tables()) EXPECT_EQ(line_of(table.form, bytes_of(table.bytes), 7, -1), 7) << table.release;
}

TEST(LineTable, AnAddressBehindTheCodeHasNoLine) {
  for (const Table& table : tables()) {
    if (table.form == LineTableForm::kLnotab) continue;  // it does not know where the code ends
    EXPECT_EQ(line_of(table.form, bytes_of(table.bytes), kFirstLine, 100'000), std::nullopt) << table.release;
  }
}

TEST(LineTable, AnyBytesGiveALineOrNone) {
  std::mt19937 random(20261121);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::uint8_t> bytes(random() % 64);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const auto form = static_cast<LineTableForm>(random() % 3);
    const auto first = static_cast<std::int32_t>(random());

    const auto line = line_of(form, bytes, first, static_cast<std::int64_t>(random() % 512) - 2);

    EXPECT_GE(line.value_or(0), 0);
  }
}

TEST(LineTable, ALongTableIsReadOnce) {
  const std::vector<std::uint8_t> endless(4u << 20, 0x7f);  // no entry begins: each byte goes on
  std::vector<std::uint8_t> entries(4u << 20, 0xf7);        // a line step, without its number

  EXPECT_EQ(line_of(LineTableForm::kLocations, endless, 1, 1'000'000'000), std::nullopt);
  EXPECT_EQ(line_of(LineTableForm::kLocations, entries, 1, 1'000'000'000), std::nullopt);
}

}  // namespace
}  // namespace memsnap
