#include <cstdint>
#include <cstdio>

#include "attach/base/error.h"
#include "snapshot/store/container.h"

// Prints every part of a snapshot file as it is before compression: what a search for a text must look through.
int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    memsnap::ContainerReader reader(argv[1]);
    const auto parts = reader.parts();
    for (const memsnap::PartEntry& part : parts) {
      memsnap::ContainerReader::Blocks blocks(reader, part);
      for (auto block = blocks.next(); !block.empty(); block = blocks.next()) {
        std::fwrite(block.data(), 1, block.size(), stdout);
      }
    }
  } catch (const memsnap::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
