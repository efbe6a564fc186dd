#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "snapshot/model/memory_point.h"
#include "snapshot/points/database.h"

namespace memsnap {

// What is in a log of memory points. See docs/points.md.
inline constexpr std::int64_t kLogApplication = 0x4d53504c;  // "MSPL"
inline constexpr std::int64_t kLogVersion = 1;

// As sqlite_schema has them: a file with any other table, view or trigger is no log of ours.
inline constexpr std::array<std::string_view, 3> kLogSchema{
    "CREATE TABLE process (process INTEGER PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, "
    "start_time INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (host, boot, pid, start_time))",
    "CREATE TABLE point (sequence INTEGER PRIMARY KEY, process INTEGER NOT NULL, id TEXT NOT NULL, asked TEXT NOT "
    "NULL, "
    "repeat INTEGER NOT NULL, time_ns INTEGER NOT NULL, rss INTEGER NOT NULL, pss INTEGER NOT NULL, "
    "uss INTEGER NOT NULL, object_bytes INTEGER, objects INTEGER, pause_ns INTEGER, note TEXT NOT NULL, "
    "crc INTEGER NOT NULL, UNIQUE (process, id))",
    "CREATE INDEX point_asked ON point (process, asked, repeat)"};

// Makes an empty log, whole or not at all: written beside `path` and renamed. One that appeared meanwhile stays as it
// is. Throws Error kCannotWrite.
void make_log(const std::string& path);

// Of everything that a point says, so that a changed byte is seen.
std::uint32_t checksum_of(const MemoryPoint& point);

}  // namespace memsnap
