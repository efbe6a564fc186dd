#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace memsnap {

// A release of CPython, as PY_VERSION_HEX packs it: major, minor, micro, level (0xa, 0xb, 0xc, 0xf: final), serial.
class PyVersion {
 public:
  constexpr PyVersion() = default;
  constexpr explicit PyVersion(std::uint32_t hex) : hex_(hex) {}
  // From the front of sys.version or Py_GetVersion(): "3.13.0rc1+ (heads/...". Empty when it does not look like that.
  static std::optional<PyVersion> parse(std::string_view text);

  constexpr std::uint32_t hex() const { return hex_; }
  constexpr unsigned major() const { return hex_ >> 24; }
  constexpr unsigned minor() const { return hex_ >> 16 & 0xff; }
  constexpr unsigned micro() const { return hex_ >> 8 & 0xff; }
  constexpr bool at_least(unsigned major_number, unsigned minor_number) const {
    return hex_ >> 16 >= (major_number << 8 | minor_number);
  }
  bool plausible() const;          // the shape of a PY_VERSION_HEX at all
  std::string text() const;        // "3.13.0rc1"
  std::string minor_text() const;  // "3.13"

  friend constexpr bool operator==(PyVersion, PyVersion) = default;

 private:
  std::uint32_t hex_ = 0;
};

}  // namespace memsnap
