#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "snapshot/store/output_file.h"

// The container of docs/file_format.md: a fixed header, parts of independent zstd frames, a directory of the parts.
namespace memsnap {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kMaxBlockBytes = 2u << 20;  // of one frame, decompressed

struct PartEntry {
  std::uint32_t id = 0;
  std::uint32_t flags = 0;
  std::uint64_t offset = 0;
  std::uint64_t stored = 0;  // bytes in the file
  std::uint64_t raw = 0;     // bytes when decompressed
  std::uint64_t items = 0;
  std::uint32_t crc = 0;  // of the stored bytes
};
inline constexpr std::uint32_t kPartRequired = 1;  // flag: a reader that does not know this part must not go on

class ContainerWriter {
 public:
  ContainerWriter(const std::filesystem::path& path, bool force, int level);
  ~ContainerWriter();
  ContainerWriter(const ContainerWriter&) = delete;
  ContainerWriter& operator=(const ContainerWriter&) = delete;

  void begin_part(std::uint32_t id, std::uint32_t flags = 0);
  void block(std::span<const std::uint8_t> raw);  // at most kMaxBlockBytes
  void bytes(std::span<const std::uint8_t> raw);  // any length, cut into blocks
  void end_part(std::uint64_t items);
  std::uint64_t finish();  // writes the directory and gives the file its name; bytes written

 private:
  struct Compressor;

  OutputFile file_;
  std::unique_ptr<Compressor> compressor_;
  std::vector<PartEntry> parts_;
};

// Checks header and directory when it opens; a part's checksum when the part has been read to its end.
class ContainerReader {
 public:
  explicit ContainerReader(const std::filesystem::path& path);
  ~ContainerReader();
  ContainerReader(ContainerReader&&) noexcept;
  ContainerReader& operator=(ContainerReader&&) = delete;
  ContainerReader(const ContainerReader&) = delete;
  ContainerReader& operator=(const ContainerReader&) = delete;

  std::uint32_t version() const { return version_; }
  std::uint64_t file_size() const { return size_; }
  const std::vector<PartEntry>& parts() const { return parts_; }
  const PartEntry* find(std::uint32_t id) const;

  // Blocks of one part, in order.
  class Blocks {
   public:
    Blocks(ContainerReader& reader, const PartEntry& part) : reader_(&reader), part_(&part), at_(part.offset) {}
    // The next block, followed by kSlack zero bytes; empty at the end, when the checksum has been found right.
    std::span<const std::uint8_t> next();
    [[noreturn]] void throw_damaged() const { reader_->throw_damaged(part_->id); }
    const PartEntry& part() const { return *part_; }
    static constexpr std::size_t kSlack = 16;

   private:
    ContainerReader* reader_;
    const PartEntry* part_;
    std::uint64_t at_;
    std::uint64_t raw_ = 0;
    std::uint32_t crc_ = 0;
    std::vector<std::uint8_t> stored_, out_;
  };

  std::vector<std::uint8_t> read_bytes(const PartEntry& part, std::uint64_t most);
  bool is_intact(const PartEntry& part);
  [[noreturn]] void throw_damaged(std::uint32_t part) const;
  [[noreturn]] void throw_damaged(const std::string& what) const;

 private:
  struct Decompressor;
  void read_at(std::uint64_t offset, std::span<std::uint8_t> out) const;
  void read_header();
  void read_directory(std::uint64_t offset, std::uint32_t count, std::uint32_t crc);
  bool is_plausible(const PartEntry& part, std::uint64_t directory) const;

  std::string path_;
  FileDescriptor file_;
  std::uint64_t size_ = 0;
  std::uint32_t version_ = 0;
  std::vector<PartEntry> parts_;
  std::unique_ptr<Decompressor> decompressor_;
};

std::string part_name(std::uint32_t id);

}  // namespace memsnap
