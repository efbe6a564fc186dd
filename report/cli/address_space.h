#pragma once

namespace memsnap {

// Below a limit of the address space (ulimit -v) memory runs out, and is said to have, where without one it is there.
// Called first of all in main(). False: what is left is not enough to say anything else than no_memory().
bool prepare_for_limits();

// Says so, and gives the exit status. Asks for no memory.
int no_memory() noexcept;

}  // namespace memsnap
