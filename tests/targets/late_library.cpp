// Loaded by a target while it is tracked.
#include <cstdlib>

extern "C" void late_allocate() {
  void* volatile block = std::malloc(60);
  std::free(block);
}
