#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/uio.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

using MallocPointer = void* (*)(std::size_t);

TEST(InjectReferences, PointerThatWasKeptIsReportedAndWorksOn) {
  ForkedTarget target([](TargetNotes& notes) {
    auto* const kept = new MallocPointer[1]();
    notes.ready = 1;
    tick_until(notes, 1);
    kept[0] = std::malloc;  // out of the table that is hooked now
    notes.ready = 2;
    while (notes.stop < 2) {
      void* const block = kept[0](100);
      if (block == nullptr) ++notes.words[0];
      std::free(block);
      ::usleep(200);
      ++notes.words[1];
    }
    kept[0] = nullptr;
    notes.ready = 3;
    tick_until(notes, 9);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  {
    const auto tracking = Tracking::start(id, test_setup(), log);
    target.notes().stop = 1;
    target.wait_ready(2);
    const TrackingEnd end = tracking->stop();
    EXPECT_NE(joined(end.left_behind).find("a pointer to memsnap_malloc"), std::string::npos)
        << joined(end.left_behind);
  }
  EXPECT_TRUE(goes_on(target));
  ASSERT_EQ(find_agents(target.pid()).size(), 1u);
  EXPECT_EQ(find_agents(target.pid())[0].tables, 0u) << "nobody is inside: the tables are not needed";
  {  // still kept
    const auto again = end_left_tracking(id, {}, log);
    ASSERT_TRUE(again.has_value());
    EXPECT_FALSE(again->left_behind.empty());
    EXPECT_TRUE(goes_on(target));
  }
  target.notes().stop = 2;
  target.wait_ready(3);
  expect_all_gone(target);
  EXPECT_TRUE(goes_on(target));
}

[[gnu::noinline]] void leave_on_stack(MallocPointer pointer) {
  constexpr std::size_t kWords = 1024;
  MallocPointer volatile left[kWords];
  for (auto& word : left) word = pointer;
}

// Nobody will read it again: the thread's own descriptor says how far its stack reaches.
TEST(InjectReferences, PointerOnTheUnusedPartOfAStackIsNone) {
  ForkedTarget target([](TargetNotes& notes) {
    std::thread([&notes] {
      wait_for(notes, 1);
      leave_on_stack(std::malloc);
      notes.ready = 2;
      for (;;) ::pause();
    }).detach();
    notes.ready = 1;
    tick_until(notes, 9);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  target.notes().stop = 1;
  target.wait_ready(2);
  const TrackingEnd end = tracking->stop();
  EXPECT_EQ(joined(end.left_behind), "") << log.text();
  EXPECT_TRUE(goes_on(target));
}

// A function for the end of a program is kept by the C library in a form of its own.
TEST(InjectReferences, MangledPointerIsFound) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    wait_for(notes, 1);
    void* const block = std::malloc(100);
    ::on_exit(reinterpret_cast<void (*)(int, void*)>(reinterpret_cast<void (*)()>(std::malloc)), block);
    notes.ready = 2;
    tick_until(notes, 9);
    std::exit(3);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  target.notes().stop = 1;
  target.wait_ready(2);
  const TrackingEnd end = tracking->stop();
  EXPECT_NE(joined(end.left_behind).find("memsnap_malloc"), std::string::npos);
  EXPECT_TRUE(goes_on(target));
  target.notes().stop = 9;
  const int status = target.wait_end();
  EXPECT_TRUE(WIFEXITED(status) && (WEXITSTATUS(status) == 3 || !kStill)) << status;  // a leak, to a sanitizer
}

TEST(InjectReferences, ThreadInsideAHookIsWaitedFor) {
  constexpr std::size_t kSpecial = 12345;
  ForkedTarget target([](TargetNotes& notes) {
    std::thread([&notes] {
      wait_for(notes, 1);
      notes.ready = 2;
      notes.words[2] = std::malloc(kSpecial) != nullptr ? 1 : 2;
      for (;;) ::pause();
    }).detach();
    notes.ready = 1;
    tick_until(notes, 9);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  const WritableMemory memory(target.pid());
  std::uint64_t gate = 0;
  {
    const auto tracking = Tracking::start(id, test_setup(), log);
    gate = tracking->facts().place.shared_begin + tracking->header().sections.threads.offset +
           offsetof(AgentThread, by_size);
    ASSERT_TRUE(memory.write_value(gate, kSpecial));
    target.notes().stop = 1;
    target.wait_ready(2);
    ::usleep(20000);
    const TrackingEnd end = tracking->stop();
    EXPECT_NE(joined(end.left_behind).find("is inside the agent"), std::string::npos) << joined(end.left_behind);
  }
  EXPECT_TRUE(goes_on(target));
  EXPECT_EQ(target.word(2), 0u);
  ASSERT_TRUE(memory.write_value(gate, std::uint64_t{0}));
  ASSERT_TRUE(ForkedTarget::wait_until([&] { return target.word(2) == 1; }));
  expect_all_gone(target);
}

TEST(InjectReferences, LibraryThatComesLaterIsHooked) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    tick_until(notes, 1);
    void* const library = ::dlopen(MEMSNAP_LATE_LIBRARY, RTLD_NOW);
    auto* const use = library == nullptr ? nullptr : reinterpret_cast<void (*)()>(::dlsym(library, "late_allocate"));
    if (use == nullptr) ::_exit(7);
    notes.ready = 2;
    while (notes.stop < 2) {
      use();
      ::usleep(200);
      ++notes.words[1];
    }
    ::dlclose(library);
    notes.ready = 3;
    for (;;) ::usleep(1000);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  EXPECT_EQ(tracking->poll_new_libraries(), 0u);
  target.notes().stop = 1;
  target.wait_ready(2);
  EXPECT_GT(tracking->header().dlopen_calls, 0u);
  const auto before = counters(*tracking).allocations;
  EXPECT_TRUE(goes_on(target));
  EXPECT_EQ(counters(*tracking).allocations, before);

  EXPECT_GE(tracking->poll_new_libraries(), 2u);
  EXPECT_TRUE(counts(*tracking));
  EXPECT_EQ(tracking->poll_new_libraries(), 0u);

  target.notes().stop = 2;
  target.wait_ready(3);
  const TrackingEnd end = tracking->stop();
  EXPECT_EQ(joined(end.left_behind), "") << log.text();
}

// The agent that is built in, not the stand-in.
TEST(InjectReferences, AgentIsQuietWhenItsLeaseHasEnded) {
  ForkedTarget target(tick);
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TrackingSetup setup = test_setup();
  setup.image = {};
  setup.lease = std::chrono::milliseconds(300);
  TestLog log;
  const auto tracking = Tracking::start(id, setup, log);
  const auto recorded = [&] {
    AgentThread thread{};
    const auto offset = tracking->header().sections.threads.offset + sizeof(thread);
    EXPECT_EQ(::pread(tracking->descriptor(), &thread, sizeof(thread), static_cast<off_t>(offset)),
              static_cast<ssize_t>(sizeof(thread)));
    return thread.allocations;
  };
  EXPECT_TRUE(ForkedTarget::wait_until([&] { return recorded() > 10; }));
  // It looks at the clock once in a thousand blocks.
  ASSERT_TRUE(ForkedTarget::wait_until([&] {
    const auto before = recorded();
    ::usleep(20000);
    return recorded() == before;
  }));
  EXPECT_TRUE(goes_on(target));
  EXPECT_EQ(tracking->renew_lease(), Tracking::Health::kGood);
  const auto before = recorded();
  EXPECT_TRUE(ForkedTarget::wait_until([&] { return recorded() > before + 10; }));
  EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
}

// Something that only looks like what a memsnap left: numbers that lie, words of the target's own as patches.
TEST(InjectReferences, ForgedTablesDoNoHarm) {
  for (int kind = 0; kind < 6; ++kind) {
    SCOPED_TRACE(kind);
    ForkedTarget target([kind](TargetNotes& notes) {
      constexpr std::size_t kSize = 1u << 20;
      const int file = ::memfd_create(kAgentName, 0);
      if (::ftruncate(file, kSize) != 0) ::_exit(7);
      auto* const words =
          static_cast<std::uint64_t*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
      if (kind == 0) std::memset(words, 0xff, kSize);
      auto* const header = reinterpret_cast<AgentHeader*>(words);
      if (kind >= 1) header->magic = kAgentMagic;
      if (kind >= 2) header->abi = kind == 2 ? 77 : kAgentAbiVersion;
      if (kind >= 3) {
        header->image_begin = reinterpret_cast<std::uint64_t>(&std::malloc) & ~4095ull;
        header->image_end = header->image_begin + 4096;
        header->patch_count = ~0ull;
        header->keeper_pid = ~0ull;
        header->sections.patches = {kind == 3 ? ~0ull : 4096, ~0ull};
      }
      if (kind == 5) header->image_begin = header->image_end = reinterpret_cast<std::uint64_t>(words);
      tick(notes);
    });
    target.wait_ready();
    TestLog log;
    const ProcessId id = ProcessId::open(target.pid());
    const auto end = end_left_tracking(id, {}, log);
    EXPECT_TRUE(end.has_value());
    EXPECT_TRUE(goes_on(target));
    const auto tracking = Tracking::start(id, test_setup(), log);
    EXPECT_TRUE(counts(*tracking));
    EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
    EXPECT_TRUE(goes_on(target));
  }
}

// CPython's table of allocators: function pointers behind a context that is left alone.
struct Allocators {
  void* context;
  void* (*malloc)(void*, std::size_t);
  void* (*calloc)(void*, std::size_t, std::size_t);
  void* (*realloc)(void*, void*, std::size_t);
  void (*free)(void*, void*);
};

TEST(InjectReferences, AllocatorTablesAreHookedAndPutBack) {
  ForkedTarget target([](TargetNotes& notes) {
    static Allocators domain = {&notes, [](void*, std::size_t size) { return std::malloc(size); },
                                [](void*, std::size_t n, std::size_t size) { return std::calloc(n, size); },
                                [](void*, void* block, std::size_t size) { return std::realloc(block, size); },
                                [](void*, void* block) { std::free(block); }};
    static const Allocators before = domain;
    notes.words[5] = reinterpret_cast<std::uint64_t>(&domain);
    notes.ready = 1;
    for (;;) {
      Allocators* volatile table = &domain;
      if (table->context != &notes) ++notes.words[0];
      table->free(table->context, table->malloc(table->context, 40));
      notes.words[6] = domain.malloc != before.malloc ? 1 : 0;
      ::usleep(200);
      ++notes.words[1];
      // Somebody else takes over while we are there, with our function to go on to, and gives it back later.
      static Allocators kept;
      if (notes.stop == 1) {
        kept = domain;
        domain.malloc = [](void* context, std::size_t size) { return kept.malloc(context, size + 1); };
        notes.stop = 2;
      } else if (notes.stop == 3) {
        domain = before;
        kept = Allocators{};
        notes.stop = 4;
      }
    }
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {target.word(5)});
  TrackingSetup setup = test_setup();
  setup.allocator_obj = target.word(5);
  TestLog log;
  {
    const auto tracking = Tracking::start(id, setup, log);
    EXPECT_TRUE(ForkedTarget::wait_until([&] { return target.word(6) == 1; }));
    EXPECT_TRUE(counts(*tracking));
    EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
    EXPECT_EQ(joined(differences(before, take_fingerprint(id, {target.word(5)}), false)), "");
    EXPECT_TRUE(goes_on(target));
  }
  {
    const auto tracking = Tracking::start(id, setup, log);
    target.notes().stop = 1;
    ASSERT_TRUE(ForkedTarget::wait_until([&] { return target.notes().stop == 2; }));
    const TrackingEnd end = tracking->stop();
    EXPECT_EQ(end.patches_foreign, 1u);
    EXPECT_NE(joined(end.left_behind).find("memsnap_object_malloc"), std::string::npos);
    EXPECT_TRUE(goes_on(target));
  }
  target.notes().stop = 3;
  ASSERT_TRUE(ForkedTarget::wait_until([&] { return target.notes().stop == 4; }));
  expect_all_gone(target);
  EXPECT_TRUE(goes_on(target));
  EXPECT_EQ(joined(differences(before, take_fingerprint(id, {target.word(5)}), false)), "");
}

}  // namespace
}  // namespace memsnap
