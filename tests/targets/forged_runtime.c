/* No Python at all, but a program that says it is one: it exports a _PyRuntime whose words are forged.
   forged_runtime SEED: 0: every word points at the runtime itself; 1: to a terabyte of zeros; else at random. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS (1u << 16)

uint64_t _PyRuntime[WORDS];
uint64_t PyType_Type[128], PyDict_Type[128], PyList_Type[128], PyCode_Type[128];
#ifdef SAYS_VERSION
unsigned long Py_Version = SAYS_VERSION;
#endif
void Py_Initialize(void) {}

static uint64_t state;

static uint64_t next_random(void) { /* xorshift */
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static uint64_t forged_word(unsigned long seed, const char* space) {
  if (seed == 0) return (uint64_t)_PyRuntime;
  if (seed == 1) return (uint64_t)space;
  uint64_t random = next_random();
  switch (random >> 60) {
    case 0:
      return 0;
    case 1:
      return ~UINT64_C(0) >> (random & 63);
    case 2:
      return UINT64_C(1) << (random & 63);
    case 3:
      return random;
    case 4:
      return random & 0xffff;
    case 5:
      return (uint64_t)PyType_Type;
    case 6:
      return (uint64_t)space + (random & 0xfffffff8);
    case 7:
      return (UINT64_C(1) << 47) | (uint64_t)_PyRuntime;
    default:
      return (uint64_t)(_PyRuntime + random % WORDS);
  }
}

int main(int argc, char** argv) {
  unsigned long seed = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
  char* space = mmap(NULL, UINT64_C(1) << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) space = (char*)8;
  state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  for (unsigned i = 0; i < WORDS; ++i) _PyRuntime[i] = forged_word(seed, space);
  for (unsigned i = 0; i < 128; ++i) {
    PyType_Type[i] = PyDict_Type[i] = forged_word(seed, space);
    PyList_Type[i] = PyCode_Type[i] = forged_word(seed, space);
  }
  /* From 3.13 on the runtime begins with offsets; Python marks them with this word. */
  if (argc > 2) {
    memcpy(_PyRuntime, "xdebugpy", 8);
    _PyRuntime[1] = strtoul(argv[2], NULL, 16);
  }
  PyType_Type[1] = (uint64_t)PyType_Type;
  puts("ready");
  fflush(stdout);
  while (getchar() != EOF) puts("alive"), fflush(stdout);
  return 0;
}
