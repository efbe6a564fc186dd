#include "snapshot/cpython/code_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "snapshot/cpython/py_layout.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMemory = 0x100000;
constexpr std::uint64_t kCodeType = kMemory + 0x1000;
constexpr std::uint64_t kTextType = kMemory + 0x1800;
constexpr std::uint64_t kBytesType = kMemory + 0x2000;
constexpr std::uint64_t kCode = kMemory + 0x3000;
constexpr std::uint64_t kName = kMemory + 0x4000;
constexpr std::uint64_t kFile = kMemory + 0x4800;
constexpr std::uint64_t kTable = kMemory + 0x5000;
constexpr std::uint64_t kFrame = kMemory + 0x8000;

// A code object with a line table of two instructions on line 7.
struct Program {
  explicit Program(const HeapLayout& table) {
    python.layout = table;
    python.types["PyCode_Type"] = kCodeType;
    memory.map(kMemory, 0x10000);
    memory.put(kTextType + layout().type.tp_flags, kFlagUnicode);
    memory.put(kBytesType + layout().type.tp_flags, kFlagBytes);
    put_text(kName, "work");
    put_text(kFile, "/srv/app.py");
    memory.put(kCode + layout().object.ob_type, kCodeType);
    memory.put(kCode + layout().code.co_name, kName);
    memory.put(kCode + layout().code.co_filename, kFile);
    memory.put(kCode + layout().code.co_linetable, kTable);
    memory.put(kCode + layout().code.co_firstlineno, std::int32_t{7});
    memory.put(kTable + layout().object.ob_type, kBytesType);
    put_table({0x04, 0x00});
    if (layout().frame.size != 0) put_table({0x80 | 10 << 3 | 1, 0x00, 0x00});
  }
  const HeapLayout& layout() const { return python.layout; }
  void put_text(std::uint64_t at, const std::string& text) {
    const auto& form = layout().text;
    memory.put(at + layout().object.ob_type, kTextType);
    memory.put(at + form.length, std::uint64_t{text.size()});
    memory.put(at + form.state,
               static_cast<std::uint32_t>(1u << form.kind_shift | 1u << form.compact_shift | 1u << form.ascii_shift));
    memory.put_text(at + form.ascii_size, text);
  }
  void put_table(const std::vector<std::uint8_t>& bytes) {
    memory.put(kTable + layout().object.ob_size, std::uint64_t{bytes.size()});
    for (std::size_t i = 0; i < bytes.size(); ++i) memory.put(kTable + layout().sequence.bytes_data + i, bytes[i]);
  }
  RunningFrame frame_at(std::int32_t instruction) {
    if (layout().frame.size == 0) {
      memory.put(kFrame + layout().frame_object.f_lasti, instruction);
    } else {
      memory.put(kFrame + layout().frame.instr,
                 kCode + layout().code.co_code_adaptive + static_cast<std::uint64_t>(std::int64_t{instruction}));
    }
    return {.address = kFrame, .code = kCode};
  }

  FakeMemory memory;
  PythonProcess python;
};

TEST(CodeReader, NamesAndLinesInEveryRelease) {
  for (const HeapLayout& layout : all_layouts()) {
    Program program(layout);
    CodeReader code(program.memory, program.python);

    const CodeInfo* const info = code.find(kCode);

    ASSERT_NE(info, nullptr) << std::hex << layout.since;
    EXPECT_EQ(info->function, "work");
    EXPECT_EQ(info->file, "/srv/app.py");
    EXPECT_EQ(code.line(program.frame_at(0)), 7) << std::hex << layout.since;
    EXPECT_EQ(code.line(program.frame_at(-1)), 7) << std::hex << layout.since;
  }
}

TEST(CodeReader, WhatIsNoCodeObjectHasNoName) {
  Program program(layout_for(0x030c01f0));
  CodeReader code(program.memory, program.python);

  EXPECT_EQ(code.find(kName), nullptr);
  EXPECT_EQ(code.find(0xdead0000), nullptr);
  EXPECT_EQ(code.line({.address = kFrame, .code = kName}), std::nullopt);
}

TEST(CodeReader, AForgedLengthCostsNothing) {
  Program program(layout_for(0x030d00f0));
  program.memory.put(kTable + program.layout().object.ob_size, ~std::uint64_t{0} >> 1);
  CodeReader code(program.memory, program.python);

  ASSERT_NE(code.find(kCode), nullptr);
  EXPECT_FALSE(code.find(kCode)->line_table.has_value());
  EXPECT_EQ(code.line(program.frame_at(0)), std::nullopt);
}

TEST(CodeReader, RandomMemoryDoesNoHarm) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    Program program(all_layouts()[static_cast<std::size_t>(round) % all_layouts().size()]);
    for (int i = 0; i < 40; ++i) program.memory.put(kMemory + 0x3000 + random() % 0x6000, kMemory + random() % 0x10000);
    CodeReader code(program.memory, program.python);

    EXPECT_GE(code.line(program.frame_at(static_cast<std::int32_t>(random()))).value_or(0), 0);
  }
}

}  // namespace
}  // namespace memsnap
