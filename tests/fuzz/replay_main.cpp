#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_input.h"

// Stands in for libFuzzer where there is no clang: runs the files of a folder, then mutations of them, always the same.
//
//   replay FOLDER [MUTATIONS [SEED]]
namespace memsnap {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::chrono::seconds kTime{2};  // fewer mutations on a machine that is slow or busy

std::vector<Bytes> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path());
  std::sort(names.begin(), names.end());
  std::vector<Bytes> files;
  for (const auto& name : names) {
    std::ifstream in(name, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return files;
}

class Mutator {
 public:
  Mutator(const std::vector<Bytes>& files, std::uint32_t seed) : files_(files), random_(seed) {}

  Bytes next() {
    Bytes bytes = files_[below(files_.size())];
    for (std::size_t i = 0, times = 1 + below(6); i < times; ++i) change(bytes);
    return bytes;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void change(Bytes& bytes) {
    const std::size_t at = below(bytes.size());
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (bytes.empty() ? 5 : below(7)) {
      case 0:
        *place = static_cast<std::uint8_t>(*place ^ 1u << below(8));
        break;
      case 1:
        *place = static_cast<std::uint8_t>(random_());
        break;
      case 2:
        put_number(bytes, at);
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4:
        bytes.erase(place, place + static_cast<std::ptrdiff_t>(std::min<std::size_t>(1 + below(8), bytes.size() - at)));
        break;
      case 5: {
        const Bytes& other = files_[below(files_.size())];
        const std::size_t from = below(other.size());
        const std::size_t count = std::min<std::size_t>(1 + below(64), other.size() - from);
        const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
        bytes.insert(place, begin, begin + static_cast<std::ptrdiff_t>(count));
        break;
      }
      default:
        std::fill_n(place, std::min<std::size_t>(1 + below(16), bytes.size() - at),
                    static_cast<std::uint8_t>(below(2) == 0 ? 0 : 0xff));
    }
  }

  // The numbers at which sizes and counts go wrong.
  void put_number(Bytes& bytes, std::size_t at) {
    const std::uint64_t number = (std::uint64_t{1} << below(64)) - below(3);
    const std::size_t size = std::size_t{1} << below(4);
    std::memcpy(bytes.data() + at, &number, std::min(size, bytes.size() - at));
  }

  const std::vector<Bytes>& files_;
  std::mt19937 random_;
};

// What was being run is kept when it crashes.
void keep(const Bytes& bytes) {
  std::ofstream("fuzz-last-input", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

int replay(const std::vector<std::string>& words) {
  const std::vector<Bytes> files = files_of(words.at(1));
  const unsigned long mutations = words.size() > 2 ? std::stoul(words[2]) : 0;
  const auto seed = static_cast<std::uint32_t>(words.size() > 3 ? std::stoul(words[3]) : 1);
  if (files.empty()) {
    std::fprintf(stderr, "no files in %s\n", words[1].c_str());
    return 1;
  }
  const bool keeps = std::getenv("MEMSNAP_FUZZ_KEEP") != nullptr;
  for (const Bytes& file : files) {
    if (keeps) keep(file);
    LLVMFuzzerTestOneInput(file.data(), file.size());
  }
  Mutator mutator(files, seed);
  unsigned long run = 0;
  for (const auto end = std::chrono::steady_clock::now() + kTime;
       run < mutations && std::chrono::steady_clock::now() < end; ++run) {
    const Bytes bytes = mutator.next();
    if (keeps) keep(bytes);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::fprintf(stderr, "%zu files and %lu mutations were run\n", files.size(), run);
  return 0;
}

}  // namespace
}  // namespace memsnap

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "replay FOLDER [MUTATIONS [SEED]]\n");
    return 2;
  }
  return memsnap::replay(std::vector<std::string>(argv, argv + argc));
}
