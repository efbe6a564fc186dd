#include "attach/native_symbols.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <new>
#include <utility>

#include "attach/cached_memory.h"
#include "attach/memory_map.h"

namespace memsnap {
namespace {

constexpr int kFound = 40, kNoMemory = 41;

std::uint64_t address_space_used() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

struct Block {
  Block* next;
  char more[1016];
};

// No more memory than so much.
void leave(std::size_t left) {
  const std::uint64_t used = address_space_used();
  const rlimit limit{used, used};
  ::setrlimit(RLIMIT_AS, &limit);
  Block* blocks = nullptr;
  while (void* const place = std::malloc(sizeof(Block))) blocks = new (place) Block{blocks, {}};
  for (std::size_t freed = 0; blocks != nullptr && freed < left; freed += sizeof(Block))
    std::free(std::exchange(blocks, blocks->next));
}

// How a process ends that has so much left when it looks for a line of this program.
int end_with(std::size_t left, NativeSymbols& symbols) {
  const pid_t child = ::fork();
  if (child == 0) {
    leave(left);
    try {
      const auto here = reinterpret_cast<std::uint64_t>(&address_space_used);
      ::_exit(symbols.find(here).file.empty() ? 1 : kFound);
    } catch (const std::bad_alloc&) {
      ::_exit(kNoMemory);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(NativeSymbols, WithoutMemoryTheProgramIsNotEnded) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer ends it";
#endif
  const LiveMemory memory(::getpid());
  const auto images = loaded_images(::getpid(), MemoryMap::of(::getpid()), memory);
  NativeSymbols symbols(images);
  ASSERT_NE(symbols.function(reinterpret_cast<std::uint64_t>(&address_space_used)), "");  // its file is mapped
  int refused = 0;
  for (std::size_t left = 0; left < (1u << 20); left += left / 8 + 4096) {
    const int end = end_with(left, symbols);
    ASSERT_TRUE(end == kFound || end == kNoMemory) << left << " bytes: " << end;
    refused += end == kNoMemory ? 1 : 0;
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace memsnap
