#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "attach/base/error.h"
#include "snapshot/store/container.h"
#include "snapshot/store/container_layout.h"
#include "snapshot/store/crc32c.h"

namespace memsnap {
namespace {

// The most a stored byte can stand for: zstd makes 45 bytes of a block of 131,072 equal values, 70 of a MiB of one
// byte.
constexpr std::uint64_t kMaxRaw = 1u << 16;
constexpr std::uint64_t kMaxItems = 1u << 13;
constexpr std::size_t kBlockHead = 8;

}  // namespace

struct ContainerReader::Decompressor {
  Decompressor() : context(ZSTD_createDCtx()) {
    if (context == nullptr) throw std::bad_alloc();
  }
  ~Decompressor() { ZSTD_freeDCtx(context); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  ZSTD_DCtx* context;
};

ContainerReader::ContainerReader(const std::filesystem::path& path)
    : path_(path.string()), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  struct stat status {};
  if (!file_ || ::fstat(file_.get(), &status) != 0) {
    throw Error(ExitCode::kBadFile, fmt::format("cannot read {}: {}", path_, std::strerror(errno)),
                "check the name and its permissions");
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ExitCode::kBadFile, fmt::format("{} is not a regular file", path_), "give the name of a .msnap file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  decompressor_ = std::make_unique<Decompressor>();
  read_header();
}

ContainerReader::~ContainerReader() = default;
ContainerReader::ContainerReader(ContainerReader&&) noexcept = default;

void ContainerReader::read_header() {
  std::array<std::uint8_t, kHeaderBytes> header{};
  const std::size_t length = std::min<std::uint64_t>(size_, kHeaderBytes);
  read_at(0, std::span(header).first(length));
  const std::size_t compared = std::min(length, kMagic.size());
  if (compared == 0 ||
      !std::equal(kMagic.begin(), kMagic.begin() + static_cast<std::ptrdiff_t>(compared), header.begin())) {
    throw Error(ExitCode::kBadFile, fmt::format("{} is not a memsnap file", path_),
                size_ == 0 ? "it is empty" : "memsnap reads what `memsnap snapshot` wrote");
  }
  const auto file_size = load<std::uint64_t>(&header[32]);
  const bool header_is_whole =
      length == kHeaderBytes && crc32c(std::span(header).first(60)) == load<std::uint32_t>(&header[60]);
  if (length < kHeaderBytes || (header_is_whole && size_ < file_size)) {
    throw Error(ExitCode::kBadFile,
                header_is_whole ? fmt::format("{} is cut short: {} of {} bytes", path_, size_, file_size)
                                : fmt::format("{} is cut short", path_),
                "copy it again; a snapshot appears under its name only when it is complete");
  }
  if (!header_is_whole) throw_damaged("its header");
  version_ = load<std::uint32_t>(&header[8]);
  if (load<std::uint32_t>(&header[12]) > kFormatVersion) {
    throw Error(ExitCode::kBadFile, fmt::format("{} was written by a newer memsnap (file format {})", path_, version_),
                "read it with a memsnap as new as that");
  }
  if (size_ != file_size) throw_damaged("there is something behind its end");
  read_directory(load<std::uint64_t>(&header[16]), load<std::uint32_t>(&header[24]), load<std::uint32_t>(&header[28]));
}

void ContainerReader::read_directory(std::uint64_t offset, std::uint32_t count, std::uint32_t crc) {
  if (count > kMaxParts || offset < kHeaderBytes || offset > size_ || size_ - offset != count * kEntryBytes) {
    throw_damaged("its directory");
  }
  std::vector<std::uint8_t> bytes(count * kEntryBytes);
  read_at(offset, bytes);
  if (crc32c(bytes) != crc) throw_damaged("its directory");
  for (std::size_t i = 0; i < count; ++i) {
    const PartEntry part = get_part(&bytes[i * kEntryBytes]);
    if (!is_plausible(part, offset)) throw_damaged("its directory");
    parts_.push_back(part);
  }
}

bool ContainerReader::is_plausible(const PartEntry& part, std::uint64_t directory) const {
  return find(part.id) == nullptr && part.offset >= kHeaderBytes && part.offset <= directory &&
         part.stored <= directory - part.offset && part.raw <= part.stored * kMaxRaw &&
         part.items <= part.stored * kMaxItems;
}

const PartEntry* ContainerReader::find(std::uint32_t id) const {
  const auto found = std::find_if(parts_.begin(), parts_.end(), [id](const PartEntry& part) { return part.id == id; });
  return found == parts_.end() ? nullptr : &*found;
}

std::span<const std::uint8_t> ContainerReader::Blocks::next() {
  const std::uint64_t end = part_->offset + part_->stored;
  if (at_ == end) {
    if (crc_ != part_->crc || raw_ != part_->raw) throw_damaged();
    return {};
  }
  std::array<std::uint8_t, kBlockHead> head{};
  if (end - at_ < head.size()) throw_damaged();
  reader_->read_at(at_, head);
  const auto raw = load<std::uint32_t>(head.data());
  const auto stored = load<std::uint32_t>(&head[4]);
  at_ += head.size();
  if (stored > end - at_ || raw == 0 || raw > kMaxBlockBytes || raw > part_->raw - raw_) throw_damaged();
  stored_.resize(stored);
  reader_->read_at(at_, stored_);
  crc_ = crc32c(stored_, crc32c(head, crc_));
  at_ += stored;
  raw_ += raw;
  out_.assign(raw + kSlack, 0);
  const std::size_t got =
      ZSTD_decompressDCtx(reader_->decompressor_->context, out_.data(), raw, stored_.data(), stored);
  if (ZSTD_isError(got) != 0 || got != raw) throw_damaged();
  return std::span<const std::uint8_t>(out_).first(raw);
}

std::vector<std::uint8_t> ContainerReader::read_bytes(const PartEntry& part, std::uint64_t most) {
  if (part.raw > most) throw_damaged(part.id);
  std::vector<std::uint8_t> all;
  Blocks blocks(*this, part);
  for (auto block = blocks.next(); !block.empty(); block = blocks.next())
    all.insert(all.end(), block.begin(), block.end());
  return all;
}

bool ContainerReader::is_intact(const PartEntry& part) {
  try {
    Blocks blocks(*this, part);
    while (!blocks.next().empty()) {
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

void ContainerReader::read_at(std::uint64_t offset, std::span<std::uint8_t> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error(ExitCode::kBadFile, fmt::format("cannot read {}: {}", path_, std::strerror(errno)),
                  "check the disk it is on");
    }
    if (got == 0) throw_damaged("it shrank while it was read");
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void ContainerReader::throw_damaged(std::uint32_t part) const {
  throw_damaged(fmt::format("part \"{}\"", part_name(part)));
}

void ContainerReader::throw_damaged(const std::string& what) const {
  throw Error(ExitCode::kBadFile, fmt::format("{} is damaged: {}", path_, what),
              "copy it again; `memsnap info` checks every part");
}

}  // namespace memsnap
