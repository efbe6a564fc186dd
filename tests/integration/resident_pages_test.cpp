#include "snapshot/memory/resident_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;

class Region {
 public:
  Region(std::size_t pages, int flags)
      : size_(pages * kPage),
        bytes_(static_cast<volatile char*>(
            ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~Region() { ::munmap(const_cast<char*>(bytes_), size_); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  std::uint64_t page(std::size_t i) const { return reinterpret_cast<std::uint64_t>(bytes_) + i * kPage; }
  void write(std::size_t i) { bytes_[i * kPage] = 1; }
  char read(std::size_t i) const { return bytes_[i * kPage]; }

 private:
  std::size_t size_;
  volatile char* bytes_;
};

// Both ways to ask the kernel, whichever it has.
class ResidentPagesTest : public testing::TestWithParam<bool> {
 protected:
  static ResidentPages pages() { return ResidentPages::of(::getpid(), {.by_scan = GetParam()}); }
};

TEST_P(ResidentPagesTest, WrittenPagesAreResidentAndOthersAreNot) {
  for (const int flags : {MAP_PRIVATE, MAP_SHARED}) {
    Region region(64, flags);
    for (std::size_t i = 0; i < 64; i += 2) region.write(i);

    const ResidentPages found = pages();

    for (std::size_t i = 0; i < 64; ++i) {
      EXPECT_EQ(found.bytes(region.page(i), region.page(i + 1)), i % 2 == 0 ? kPage : 0) << i;
    }
  }
}

TEST_P(ResidentPagesTest, APageThatWasOnlyReadIsNobodys) {
  Region region(16, MAP_PRIVATE);
  region.write(3);
  EXPECT_EQ(region.read(9), 0);

  const ResidentPages found = pages();

  EXPECT_EQ(found.bytes(region.page(3), region.page(4)), kPage);
  EXPECT_EQ(found.bytes(region.page(9), region.page(10)), 0u);
}

TEST_P(ResidentPagesTest, TheyAreTheRss) {
  Region region(20000, MAP_PRIVATE);
  for (std::size_t i = 0; i < 20000; ++i) region.write(i);

  const ResidentPages found = pages();

  EXPECT_NEAR(static_cast<double>(found.total()), static_cast<double>(found.use().rss),
              0.005 * static_cast<double>(found.use().rss));
}

INSTANTIATE_TEST_SUITE_P(Kernels, ResidentPagesTest, testing::Bool(),
                         [](const auto& way) { return way.param ? "Scan" : "Entries"; });

}  // namespace
}  // namespace memsnap
