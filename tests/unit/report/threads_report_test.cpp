#include "report/threads_report.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "report/renderer.h"

namespace memsnap {
namespace {

// Two threads in a circle, one that runs C code with the GIL; names as hostile as they come.
Snapshot stuck() {
  Snapshot snapshot;
  snapshot.header.target.pid = 4242;
  snapshot.header.target.name = "shop";
  snapshot.header.target.python = "3.12.1";
  snapshot.header.method = "stop";
  snapshot.header.pause_ms = 1.23;
  ThreadStacks& stacks = snapshot.threads.emplace();
  const auto text = [&](const char* value) { return stacks.strings.add(value); };
  stacks.gil_held = Tristate::kYes;
  stacks.gil_holder = 4251;
  stacks.collecting = Tristate::kNo;
  stacks.has_native = true;
  stacks.deadlocks = {{4242, 4250}};
  stacks.frames = {{text("do_futex"), text("futex.c"), 57, true, 0x7f01},
                   {text("acquire"), text("/srv/threading.py"), 327, false, 0x100},
                   {text("take\x1b[31m"), text("/srv/pool.py"), 0, false, 0x200},
                   {text("parse"), text("/srv/parse.py"), 41, false, 0x300}};
  ThreadStack first{.tid = 4242, .name = text("MainThread"), .flags = kThreadPython | kThreadNative | kThreadSleeps};
  first.wait = WaitKind::kLock;
  first.waits = text("futex 0x7f00 (RLock held by 4250)");
  first.owner = 4250;
  first.wait_seconds = 7860;
  first.frame_count = 3;
  ThreadStack second{
      .tid = 4250, .name = text("second"), .flags = kThreadPython | kThreadPartialPython | kThreadSleeps};
  second.wait = WaitKind::kLock;
  second.waits = text("futex 0x7f80 (RLock held by 4242)");
  second.owner = 4242;
  second.frame_begin = 3;
  ThreadStack third{.tid = 4251, .name = text("worker\n3"), .flags = kThreadPython | kThreadHoldsGil};
  third.wait = WaitKind::kRuns;
  third.waits = text("sre_ucs1_match");
  third.frame_begin = 3;
  third.frame_count = 1;
  stacks.threads = {first, second, third};
  return snapshot;
}

std::string text_of(const Snapshot& snapshot, const ThreadsOptions& options) {
  std::ostringstream out;
  TextRenderer(TextStyle{}).render(make_threads(snapshot, options), out);
  return out.str();
}

std::string json_of(const Snapshot& snapshot, const ThreadsOptions& options) {
  std::ostringstream out;
  JsonRenderer().render(make_threads(snapshot, options), out);
  return out.str();
}

TEST(ThreadsReport, AsText) {
  EXPECT_EQ(text_of(stuck(), {}),
            "4242 shop, CPython 3.12.1   GIL: thread 4251 (worker\\x0a3)      stopped 1.2 ms\n"
            "  deadlock: 4242 (MainThread) waits for 4250 (second), which waits for 4242 (MainThread)\n"
            "    4242 MainThread       waits 2h 11m in futex 0x7f00 (RLock held by 4250)\n"
            "           acquire       /srv/threading.py:327\n"
            "           take\\x1b[31m  /srv/pool.py\n"
            "    4250 second           waits in futex 0x7f80 (RLock held by 4242)\n"
            "           (not all Python frames could be read)\n"
            "    4251 worker\\x0a3      runs, holds the GIL, in C: sre_ucs1_match\n"
            "           parse  /srv/parse.py:41\n");
}

TEST(ThreadsReport, NativeFramesAreShownWhenAsked) {
  const std::string text = text_of(stuck(), {.native = true});

  EXPECT_NE(text.find("             do_futex      futex.c:57\n"), std::string::npos) << text;
  EXPECT_EQ(text_of(stuck(), {}).find("do_futex"), std::string::npos);
  EXPECT_NE(
      json_of(stuck(), {.native = true}).find(R"("function":"do_futex","file":"futex.c","line":57,"native":true)"),
      std::string::npos);
}

TEST(ThreadsReport, AsJson) {
  const std::string json = json_of(stuck(), {});

  EXPECT_NE(json.find(R"("schema":"memsnap.threads/1")"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("gil":{"held":true,"holder":4251},"collecting":false,"deadlocks":[[4242,4250]])"),
            std::string::npos);
  EXPECT_NE(
      json.find(R"x({"tid":4242,"name":"MainThread","holds_gil":false,"waits":"futex 0x7f00 (RLock held by 4250)")x"),
      std::string::npos);
  EXPECT_NE(json.find(R"("tid":4251,"name":"worker\n3","holds_gil":true,"waits":null,"runs_in":"sre_ucs1_match")"),
            std::string::npos);
  EXPECT_NE(json.find(R"("line":null,"native":false)"), std::string::npos);
}

TEST(ThreadsReport, WhatIsNotKnownIsSaid) {
  Snapshot snapshot = stuck();
  snapshot.threads->gil_held = Tristate::kUnknown;
  snapshot.threads->all_wait = true;
  snapshot.header.method = "read";
  snapshot.header.consistent = false;

  const std::string text = text_of(snapshot, {});

  EXPECT_NE(text.find("GIL: not known"), std::string::npos);
  EXPECT_NE(text.find("not stopped"), std::string::npos);
  EXPECT_NE(text.find("possible deadlock"), std::string::npos);
}

}  // namespace
}  // namespace memsnap
