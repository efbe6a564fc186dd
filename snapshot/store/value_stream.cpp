#include "snapshot/store/value_stream.h"

#include <algorithm>

namespace memsnap {
namespace {

constexpr std::size_t kCountBytes = 4;

}  // namespace

ValueWriter::ValueWriter(ContainerWriter& out, std::uint32_t part, std::uint32_t flags)
    : out_(out), tokens_(kBlockValues), bits_(kBlockValues * 8 + 16) {
  out_.begin_part(part, flags);
}

void ValueWriter::flush() {
  if (count_ == 0) return;
  const std::size_t bit_bytes = (bit_count_ + 7) / 8;
  std::vector<std::uint8_t> raw(kCountBytes + count_ + bit_bytes);
  const auto count = static_cast<std::uint32_t>(count_);
  std::memcpy(raw.data(), &count, kCountBytes);
  std::copy_n(tokens_.begin(), count_, raw.begin() + kCountBytes);
  std::copy_n(bits_.begin(), bit_bytes, raw.begin() + static_cast<std::ptrdiff_t>(kCountBytes + count_));
  out_.block(raw);
  std::fill_n(bits_.begin(), bit_bytes + 9, std::uint8_t{0});
  total_ += count_;
  count_ = 0;
  bit_count_ = 0;
}

void ValueWriter::finish() {
  flush();
  out_.end_part(total_);
}

void ValueReader::next_block() {
  const auto block = blocks_.next();
  std::uint32_t count = 0;
  if (block.size() < kCountBytes) blocks_.throw_damaged();
  std::memcpy(&count, block.data(), kCountBytes);
  if (count == 0 || count > kBlockValues || count > left_ || count > block.size() - kCountBytes)
    blocks_.throw_damaged();
  left_ -= count;
  at_ = 0;
  count_ = count;
  tokens_ = block.data() + kCountBytes;
  bits_ = tokens_ + count;
  bit_ = 0;
  bit_end_ = 8 * (block.size() - kCountBytes - count);
}

void ValueReader::finish() {
  if (at_ != count_ || left_ != 0 || !blocks_.next().empty()) blocks_.throw_damaged();
}

}  // namespace memsnap
