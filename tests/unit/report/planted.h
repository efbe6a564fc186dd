#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// Texts that a hostile target may carry: they must come out of every renderer unable to do anything.
inline constexpr std::string_view kRed = "\x1b[31mred\x1b[0m";
inline constexpr std::string_view kLink = "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\";
inline constexpr std::string_view kBidi =
    "abc\xe2\x80\xae"
    "def\xe2\x81\xa6"
    "ghi";
inline constexpr std::string_view kLines = "first\r\nsecond\tthird";
inline constexpr std::string_view kNotUtf8 = "caf\xe9 \xff\xfe \xed\xa0\x80";
inline constexpr std::string_view kC1 =
    "\xc2\x9b"
    "31m\x7f\x07";
inline constexpr std::string_view kCsv = "=cmd|'/c calc'!A1,\"quoted\"";

Snapshot planted_snapshot();
Tree planted_tree();

// A snapshot with nothing in it that is not plain.
Snapshot shop_snapshot();

}  // namespace memsnap
