#pragma once

#include <termios.h>

namespace memsnap {

// While it lives, SIGUSR1 and, on a terminal, the key s ask for one more snapshot. Keys come one by one for it; nothing
// else of the terminal changes, and it is put back when this ends or a signal ends memsnap (but for SIGKILL).
class SnapshotRequests {
 public:
  explicit SnapshotRequests(bool keys);
  ~SnapshotRequests();
  SnapshotRequests(const SnapshotRequests&) = delete;
  SnapshotRequests& operator=(const SnapshotRequests&) = delete;

  bool asked();  // since the last call
  bool has_keys() const { return keys_; }

 private:
  bool owns_terminal() const;
  void take_over();
  bool key_pressed() const;

  bool keys_;
  bool changed_ = false;
};

}  // namespace memsnap
