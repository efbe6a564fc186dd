#include <new>
#include <string>
#include <vector>

#include "report/cli/address_space.h"
#include "report/cli/program.h"

int main(int argc, char** argv) {
  try {
    if (!memsnap::prepare_for_limits()) return memsnap::no_memory();
    return memsnap::run_program(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const std::bad_alloc&) {  // of what the program needs before it can say anything
    return memsnap::no_memory();
  }
}
