/* Words in a library's data that lead to tables of arenas of CPython's allocator: without end, and all of the same arena. */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/mman.h>

#define ENTRIES (1u << 17)
#define WORDS (1u << 18)
#define ARENA (1u << 20)
#define POOL 16384

struct entry {
  uint64_t address, pool_address;
  uint32_t free_pools, total_pools;
  uint64_t freepools, nextarena, prevarena;
};

uint64_t words[WORDS] = {1};

static char* space(uint64_t size) {
  return mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int forge(void) {
  char* zeros = space(UINT64_C(1) << 40);
  char* mapped = space(2 * ARENA + ENTRIES * sizeof(struct entry));
  if (zeros == MAP_FAILED || mapped == MAP_FAILED) return 1;
  char* arena = (char*)(((uint64_t)mapped + ARENA - 1) / ARENA * ARENA);
  struct entry* table = (struct entry*)(arena + ARENA);
  *(uint64_t*)arena = 5;                 /* blocks in use */
  *(uint32_t*)(arena + 36) = 1;          /* of 32 bytes */
  *(uint32_t*)(arena + 44) = POOL - 32;  /* the last of them */
  for (uint32_t i = 0; i < ENTRIES; ++i) {
    table[i] = (struct entry){(uint64_t)arena, (uint64_t)arena + POOL, ARENA / POOL - 1, ARENA / POOL, 0, 0, 0};
  }
  for (uint32_t i = 0; i < WORDS; ++i) {
    words[i] = i % 2 == 0 ? (uint64_t)(table + i / 2) : (uint64_t)zeros + (uint64_t)i * 4096;
  }
  return 0;
}
