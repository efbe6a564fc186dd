#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attach/core_file.h"

namespace memsnap {

// Contents of single notes of a core. Each is false, and changes nothing, for bytes that are too few or contradict
// themselves.
bool read_status_note(std::span<const std::byte> bytes, CoreProcessInfo& process);           // NT_PRSTATUS
bool read_info_note(std::span<const std::byte> bytes, CoreProcessInfo& process);             // NT_PRPSINFO
bool read_signal_note(std::span<const std::byte> bytes, CoreProcessInfo& process);           // NT_SIGINFO
bool read_auxiliary_note(std::span<const std::byte> bytes, CoreProcessInfo& process);        // NT_AUXV
bool read_files_note(std::span<const std::byte> bytes, std::vector<CoreMappedFile>& files);  // NT_FILE

// True for a signal whose default is to end a process with a core.
bool leaves_core(int signal);

}  // namespace memsnap
