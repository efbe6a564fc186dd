#include "attach/copied_process.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/stopped_process.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kCacheBytes = 256u << 20;
constexpr std::size_t kPiece = 1u << 20;

// Copies of mappings in our own memory; everything else is read from the process.
class ImageMemory final : public ProcessMemory {
 public:
  explicit ImageMemory(pid_t pid) : live_(pid) {}
  ~ImageMemory() override {
    for (const Image& image : images_) ::munmap(image.bytes, image.size());
  }
  ImageMemory(ImageMemory&&) = delete;

  // False when the deadline came first; what was copied until then is kept.
  bool take(const Mapping& mapping, steady_clock::time_point deadline) {
    void* const place =
        ::mmap(nullptr, mapping.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) return false;
    Image image{mapping.begin, mapping.end, mapping.begin, static_cast<std::byte*>(place)};
    bool in_time = true;
    while (image.copied < image.end && (in_time = steady_clock::now() < deadline)) {
      const std::size_t size = std::min<std::size_t>(kPiece, image.end - image.copied);
      // A piece that cannot be read stays zero: a guard page, or a file that was cut short.
      live_.copy(image.copied, std::span(image.bytes + (image.copied - image.begin), size));
      image.copied += size;
    }
    images_.push_back(image);
    return in_time;
  }
  void finish() {
    std::sort(images_.begin(), images_.end(), [](const Image& a, const Image& b) { return a.begin < b.begin; });
  }

  bool copy(std::uint64_t address, std::span<std::byte> out) const override {
    const auto after = std::upper_bound(images_.begin(), images_.end(), address,
                                        [](std::uint64_t at, const Image& image) { return at < image.begin; });
    if (after == images_.begin() || address >= std::prev(after)->end) {
      const bool runs_into_image = after != images_.end() && address + out.size() > after->begin;
      return !runs_into_image && live_.copy(address, out);
    }
    const Image& image = *std::prev(after);
    const std::size_t size = std::min<std::size_t>(out.size(), image.end - address);
    if (address + size > image.copied) return false;
    std::memcpy(out.data(), image.bytes + (address - image.begin), size);
    return size == out.size() || copy(address + size, out.subspan(size));
  }

 private:
  struct Image {
    std::uint64_t begin, end, copied;
    std::byte* bytes;
    std::size_t size() const { return end - begin; }
  };
  LiveMemory live_;
  std::vector<Image> images_;
};

class CopiedProcess final : public FrozenProcess {
 public:
  CopiedProcess(MemoryMap map, std::unique_ptr<ProcessMemory> image, FreezeFacts facts)
      : map_(std::move(map)), image_(std::move(image)), memory_(*image_, map_, kCacheBytes), facts_(std::move(facts)) {}
  const ProcessMemory& memory() const override { return memory_; }
  const MemoryMap& map() const override { return map_; }
  const FreezeFacts& facts() const override { return facts_; }
  std::vector<std::string> release() override { return {}; }

 private:
  MemoryMap map_;
  std::unique_ptr<ProcessMemory> image_;
  CachedMemory memory_;
  FreezeFacts facts_;
};

bool is_copied(const Mapping& mapping) { return mapping.readable && mapping.writable && !mapping.shared; }

}  // namespace

std::unique_ptr<FrozenProcess> freeze_by_copy(const ProcessId& target, const FreezeOptions& options, Log& log) {
  auto image = std::make_unique<ImageMemory>(target.pid());
  FreezeFacts facts;
  facts.method = Method::kStop;
  StoppedProcess stopped(target, {.wait = options.wait});
  const auto deadline = steady_clock::now() + options.max_pause;
  MemoryMap map = MemoryMap::of(target.pid());
  std::vector<Mapping> wanted;
  std::copy_if(map.mappings().begin(), map.mappings().end(), std::back_inserter(wanted), is_copied);
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const Mapping& a, const Mapping& b) { return a.size() < b.size(); });
  for (const Mapping& mapping : wanted) facts.partial = !image->take(mapping, deadline) || facts.partial;
  facts.threads = static_cast<std::uint32_t>(stopped.stopped().size());
  facts.threads_not_stopped = stopped.not_stopped();
  facts.was_stopped = stopped.group_stopped();
  std::vector<pid_t> stragglers = stopped.release();
  facts.pause = stopped.stopped_for();
  image->finish();
  release_stragglers(stragglers);
  if (facts.partial) log.warning("partial", "the copy did not fit --max-pause: the snapshot is partial");
  return std::make_unique<CopiedProcess>(std::move(map), std::move(image), std::move(facts));
}

std::unique_ptr<FrozenProcess> read_running(const ProcessId& target) {
  FreezeFacts facts;
  facts.method = Method::kRead;
  facts.consistent = false;
  facts.threads = static_cast<std::uint32_t>(thread_ids(target.pid()).size());
  return std::make_unique<CopiedProcess>(MemoryMap::of(target.pid()), std::make_unique<LiveMemory>(target.pid()),
                                         std::move(facts));
}

}  // namespace memsnap
