#pragma once

#include <sys/types.h>

#include <string>

#include "attach/base/file_descriptor.h"

namespace memsnap {

// Where memsnap writes, often as root, the folder may be anybody's: what another user put there must not lead anywhere.

// Whether a symbolic link lies there that neither root nor our own user made.
bool is_foreign_link(const std::string& path);
// Whether a file lies there that belongs neither to root nor to our own user, nor to `besides`.
bool is_foreign_file(const std::string& path, uid_t besides = 0);

// As open(2), but such a link is not followed: empty, and errno is ELOOP.
FileDescriptor open_own(const std::string& path, int flags, mode_t mode);

}  // namespace memsnap
