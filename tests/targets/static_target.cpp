// A program without a loader.
#include <unistd.h>

#include <cstdlib>

int main() {
  for (;;) {
    void* volatile block = std::malloc(100);
    std::free(block);
    ::usleep(1000);
  }
}
