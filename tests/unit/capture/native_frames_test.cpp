#include "snapshot/capture/native_frames.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace memsnap {
namespace {

TEST(NativeFrames, LoopsAndAllocatorsAreShownToNobody) {
  for (const char* const name : {"_PyEval_EvalFrameDefault", "_TAIL_CALL_LOAD_FAST", "PyMem_RawMalloc",
                                 "_PyObject_Malloc", "operator new(unsigned long)", "operator new[](unsigned long)"}) {
    EXPECT_TRUE(is_hidden_function(name)) << name;
  }
  for (const char* const name :
       {"", "PyEval_EvalCode", "PyList_New", "operator newer(int)", "array_empty", "malloc_in_a_name"})
    EXPECT_FALSE(is_hidden_function(name)) << name;
}

TEST(NativeFrames, AddressesOfThisProcessAreNamed) {
  NativeFrames frames(::getpid());
  const NativeNames names = frames.names();
  const auto address = reinterpret_cast<std::uint64_t>(&is_hidden_function);

  const NativeName known = names(address + 8);
  const NativeName unknown = names(8);

  EXPECT_EQ(known.function, "memsnap::is_hidden_function(std::basic_string_view<char, std::char_traits<char> >)");
  EXPECT_NE(known.file.find("unit_tests"), std::string::npos);
  EXPECT_FALSE(known.hidden);
  EXPECT_EQ(unknown.function, "");
}

}  // namespace
}  // namespace memsnap
