#include "snapshot/store/value_stream.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "snapshot/store/crc32c.h"

namespace memsnap {
namespace {

TEST(ValueStream, GivesBackEverySizeOfNumber) {
  const auto path = std::filesystem::temp_directory_path() / ("memsnap-values." + std::to_string(getpid()));
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> values;
  for (int bit = 0; bit < 64; ++bit) {
    for (std::uint64_t less = 0; less < 3; ++less) values.push_back((std::uint64_t{1} << bit) + 1 - less);
  }
  for (std::size_t i = 0; i < 2 * kBlockValues; ++i) values.push_back(random() >> random() % 64);
  values.insert(values.end(), kBlockValues, std::numeric_limits<std::uint64_t>::max());
  ContainerWriter out(path, true, 1);
  ValueWriter writer(out, 7);
  for (const std::uint64_t value : values) writer.put(value);
  writer.finish();
  out.finish();

  ContainerReader in(path);
  ValueReader reader(in, *in.find(7));
  for (const std::uint64_t value : values) ASSERT_EQ(reader.get(), value);
  EXPECT_NO_THROW(reader.finish());
  EXPECT_THROW(reader.get(), Error);
  std::filesystem::remove(path);
}

TEST(Zigzag, KeepsSmallDifferencesSmall) {
  EXPECT_EQ(zigzag(0), 0u);
  EXPECT_EQ(zigzag(-1), 1u);
  EXPECT_EQ(zigzag(1), 2u);
  for (const std::int64_t value :
       {std::numeric_limits<std::int64_t>::min(), std::int64_t{-77}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(unzigzag(zigzag(value)), value);
  }
}

TEST(Crc32c, IsCastagnolis) {
  const std::string digits = "123456789";
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(digits.data()), digits.size());

  EXPECT_EQ(crc32c(bytes), 0xe3069283u);
  EXPECT_EQ(crc32c(bytes.subspan(4), crc32c(bytes.first(4))), 0xe3069283u);
}

}  // namespace
}  // namespace memsnap
