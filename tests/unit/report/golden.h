#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "report/json_output.h"
#include "report/renderer.h"

namespace memsnap {

inline std::string rendered(const Renderer& renderer, const Report& report) {
  std::ostringstream out;
  renderer.render(report, out);
  return out.str();
}

// Compares with the committed text. MEMSNAP_UPDATE_GOLDEN=1 writes it instead: read the difference before committing.
inline void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(MEMSNAP_SOURCE_DIR) + "/tests/golden/" + name;
  if (std::getenv("MEMSNAP_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file) << path;
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

inline bool is_mark(std::uint32_t code) {
  return code == 0x61C || (code >= 0x200E && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);
}

// Nothing that a terminal acts on, but for line ends: no controls, no direction marks, no broken UTF-8.
inline void expect_harmless(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    ASSERT_NE(length, 0u) << "invalid UTF-8";
    const std::uint32_t code = utf8_code_point(text);
    const bool line_end = code == '\n' || (code == '\r' && text.starts_with("\r\n"));
    ASSERT_TRUE(line_end || (code >= 0x20 && (code < 0x7F || code >= 0xA0))) << "control character " << code;
    ASSERT_FALSE(is_mark(code)) << "direction mark " << code;
    text.remove_prefix(length);
  }
}

}  // namespace memsnap
