#include "attach/child_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <vector>

namespace memsnap {
namespace {

Mapping named(const char* name) {
  Mapping mapping;
  mapping.name = name;
  return mapping;
}

TEST(ChildMemory, KnowsDevicesByName) {
  for (const char* name :
       {"/dev/mem", "/dev/nvidia0", "/dev/dri/renderD128", "/sys/bus/pci/devices/0000:00:02.0/resource0",
        "/proc/bus/pci/00/02.0", "anon_inode:[vfio-device]", "/dmabuf:"}) {
    EXPECT_TRUE(is_device(named(name))) << name;
  }
  for (const char* name : {"", "[heap]", "[stack]", "/dev/zero (deleted)", "/dev/shm/queue", "/dev/hugepages/arena",
                           "/usr/lib/libc.so.6", "/memfd:data (deleted)", "/devices.db"}) {
    EXPECT_FALSE(is_device(named(name))) << name;
  }
}

TEST(ChildMemory, RefusesWhatTouchesADevice) {
  std::vector<std::uint64_t> words(3 * 512, 7);
  const auto begin = reinterpret_cast<std::uint64_t>(words.data());
  Mapping device = named("/dev/mem");
  device.begin = begin + 4096;
  device.end = begin + 8192;
  const ChildMemory memory(::getpid(), MemoryMap({device}));

  std::array<std::byte, 16> out;
  EXPECT_TRUE(memory.copy(begin + 4096 - 16, out));
  EXPECT_EQ(out[8], std::byte{7});
  EXPECT_FALSE(memory.copy(begin + 4096 - 15, out));
  EXPECT_FALSE(memory.copy(begin + 6000, out));
  EXPECT_FALSE(memory.copy(begin + 8191, out));
  EXPECT_TRUE(memory.copy(begin + 8192, out));
  EXPECT_FALSE(memory.copy(~0ull - 7, out));
}

}  // namespace
}  // namespace memsnap
