#include <gtest/gtest.h>

#include <cctype>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report/inspect_report.h"
#include "report/object_value.h"
#include "report/objects_report.h"
#include "report/paths_dot.h"
#include "report/paths_report.h"
#include "report/renderer.h"
#include "snapshot/analysis/reachability.h"
#include "snapshot/analysis/retained.h"
#include "tests/unit/analysis/fake_graph.h"
#include "tests/unit/model/fake_profile.h"
#include "tests/unit/report/golden.h"
#include "tests/unit/report/planted.h"

namespace memsnap {
namespace {

constexpr std::string_view kDot = "\\N\"];evil [label=\"\\l&lt;\\";

struct PlantedObjects {
  Snapshot snapshot;
  NodeIndex entry = kNoNode;
};

// A module whose dict holds texts of all kinds under themselves, and an object in a cycle with a list.
PlantedObjects planted_objects() {
  FakeGraph fake;
  const NodeIndex module = fake.node("builtins.module", 72, kNodeTracked);
  const NodeIndex dict = fake.node("builtins.dict", 1024, kNodeTracked);
  const NodeIndex entry = fake.node(kBidi, 64, kNodeTracked);
  const NodeIndex list = fake.node("builtins.list", 88, kNodeTracked);
  const NodeIndex weak = fake.node("weakref.ReferenceType", 72, kNodeTracked);
  fake.root(module, RootKind::kModule, kLink);
  fake.field(module, dict, "__dict__");
  const std::string long_text(200, 'x');
  for (const std::string_view text : {kRed, kLines, kNotUtf8, kC1, kCsv, kDot, std::string_view(long_text)}) {
    const NodeIndex key = fake.text(text);
    fake.entry(dict, key, key);
  }
  fake.entry(dict, fake.text(kDot), entry);
  fake.named(entry, list, Label::kAttribute, kRed);
  fake.edge(list, entry);
  fake.edge(list, list);
  fake.edge(list, fake.node("builtins.NoneType", 16));
  fake.edge(weak, entry, EdgeLabel::of(Label::kWeak));
  fake.root(weak, RootKind::kUnknown);
  PlantedObjects planted{planted_snapshot(), entry};
  planted.snapshot.graph = fake.build();
  analyze(planted.snapshot.graph);
  return planted;
}

std::string as_text(const Report& report) { return rendered(TextRenderer({}), report); }
std::string as_json(const Report& report) { return rendered(JsonRenderer(), report); }

TEST(ObjectReports, PlantedTextIsHarmlessInListsOfObjects) {
  const PlantedObjects planted = planted_objects();
  const HeapGraph& graph = planted.snapshot.graph;
  const Cycles cycles = find_cycles(graph, FollowedEdges(graph, find_unreachable(graph)));
  ObjectQuery in_cycles;
  in_cycles.cycles = &cycles;
  const Report all = make_objects(planted.snapshot, list_objects(graph, {}), nullptr);
  const Report some = make_objects(planted.snapshot, list_objects(graph, in_cycles), &cycles);

  const std::string text = as_text(all) + as_text(some);
  const std::string json = as_json(all) + as_json(some) + rendered(JsonLinesRenderer(), some);
  const std::string csv = rendered(CsvRenderer(), all);

  for (const std::string& output : {text, json, csv}) expect_harmless(output);
  expect_golden("planted_objects.txt", text);
  expect_golden("planted_objects.json", json);
  expect_golden("planted_objects.csv", csv);
}

TEST(ObjectReports, PlantedTextIsHarmlessInInspect) {
  const PlantedObjects planted = planted_objects();
  const HeapGraph& graph = planted.snapshot.graph;
  Inspection entry{planted.entry, 3, find_referents(graph, planted.entry, {.depth = 3, .rows = 2}),
                   find_referrers(graph, planted.entry, {.depth = 3, .rows = 2}), false};
  Inspection value;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (graph.text_of(node) == kDot) value.node = node;
  }
  value.whole_value = true;

  const std::string text =
      as_text(make_inspection(planted.snapshot, entry)) + as_text(make_inspection(planted.snapshot, value));
  const std::string json =
      as_json(make_inspection(planted.snapshot, entry)) + as_json(make_inspection(planted.snapshot, value));

  for (const std::string& output : {text, json}) expect_harmless(output);
  expect_golden("planted_inspect.txt", text);
  expect_golden("planted_inspect.json", json);
}

TEST(ObjectReports, SayWhereAnObjectWasAllocated) {
  PlantedObjects planted = planted_objects();
  FakeProfile made;
  const std::uint32_t thread = made.thread(7, kRed);
  std::vector<FrameIndex> frames;
  for (const std::string_view text : {kLines, kC1, kNotUtf8, kBidi, kLink, std::string_view("innermost")}) {
    frames.push_back(made.frame(text, text, 3));
  }
  made.row(made.stack(frames), {1, 64}, {1, 64}, {}, 0, thread);
  planted.snapshot.profile = std::move(made.profile);
  planted.snapshot.graph.site.assign(planted.snapshot.graph.node_count(), 0);
  planted.snapshot.graph.site[planted.entry] = 1;
  const auto paths = find_paths(planted.snapshot.graph, planted.entry, {});
  Inspection inspection;
  inspection.node = planted.entry;

  const std::string text = as_text(make_paths(planted.snapshot, planted.entry, paths)) +
                           as_text(make_inspection(planted.snapshot, inspection));
  const std::string json = as_json(make_paths(planted.snapshot, planted.entry, paths)) +
                           as_json(make_inspection(planted.snapshot, inspection));

  for (const std::string& output : {text, json}) expect_harmless(output);
  expect_golden("planted_allocated.txt", text);
  expect_golden("planted_allocated.json", json);
  planted.snapshot.graph.site[planted.entry] = 0;
  EXPECT_EQ(as_text(make_paths(planted.snapshot, planted.entry, paths)).find("allocated"), std::string::npos);
  EXPECT_NE(as_json(make_paths(planted.snapshot, planted.entry, paths)).find("\"allocated\":null"), std::string::npos);
}

// One line at a time, as paths_as_dot() writes it: strings end at the first quote that no backslash precedes.
class DotReader {
 public:
  explicit DotReader(std::string_view text) : text_(text) {}

  // digraph ID { statement; ... }
  bool read() {
    if (!word("digraph") || !id() || !symbol("{")) return false;
    while (!symbol("}")) {
      if (!statement()) return false;
    }
    space();
    return text_.empty();
  }

 private:
  bool statement() {
    if (!id()) return false;
    if (symbol("=")) return id() && symbol(";");
    if (symbol("->") && !id()) return false;
    if (symbol("[")) {
      do {
        if (!id() || !symbol("=") || !id()) return false;
      } while (symbol(","));
      if (!symbol("]")) return false;
    }
    return symbol(";");
  }

  void space() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) text_.remove_prefix(1);
  }

  bool symbol(std::string_view wanted) {
    space();
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(wanted.size());
    return true;
  }

  bool word(std::string_view wanted) { return symbol(wanted); }

  bool id() {
    space();
    if (!text_.empty() && text_[0] == '"') return quoted();
    std::size_t length = 0;
    while (length < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[length])) || text_[length] == '_')) {
      ++length;
    }
    text_.remove_prefix(length);
    return length != 0;
  }

  bool quoted() {
    for (std::size_t i = 1; i < text_.size(); ++i) {
      if (text_[i] == '\n') return false;
      if (text_[i] == '\\') {
        ++i;
      } else if (text_[i] == '"') {
        text_.remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }

  std::string_view text_;
};

TEST(ObjectReports, PathsAreAGraphOfGraphvizWhateverTheNames) {
  const PlantedObjects planted = planted_objects();
  const HeapGraph& graph = planted.snapshot.graph;
  std::string all;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    const auto paths = find_paths(graph, node, {.count = 9, .via_weak = true});

    const std::string dot = paths_as_dot(planted.snapshot, node, paths, Units::kIec);

    EXPECT_TRUE(DotReader(dot).read()) << dot;
    EXPECT_EQ(dot, paths_as_dot(planted.snapshot, node, paths, Units::kIec));
    all += dot;
  }
  expect_harmless(all);
  expect_golden("planted_paths.dot",
                paths_as_dot(planted.snapshot, planted.entry,
                             find_paths(graph, planted.entry, {.count = 9, .via_weak = true}), Units::kIec));
}

TEST(ObjectReports, DotTextIsOneStringWithNothingInItThatIsACommand) {
  EXPECT_EQ(dot_text("a\"b"), R"("a\"b")");
  EXPECT_EQ(dot_text("\\N"), R"("\\N")");
  EXPECT_EQ(dot_text("&lt;<b>"), R"("&amp;lt;<b>")");
  EXPECT_EQ(dot_text("\x1b\n"), R"("\\x1b\\x0a")");
  EXPECT_TRUE(DotReader("digraph g {\n " + dot_text(std::string(500, '\\')) + ";\n}").read());
  EXPECT_LT(dot_text(std::string(500, 'x')).size(), 70u);
  EXPECT_FALSE(DotReader("digraph g { \"a\"b\"; }").read());
}

TEST(ObjectReports, ValuesAreCutBetweenCharacters) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "abc...");
  EXPECT_EQ(shortened("ab\xc3\xa9", 3), "ab...");
  EXPECT_EQ(shortened("\xff\xfe\xfd", 2), "\xff\xfe...");
}

TEST(ObjectReports, ARingOfDominatorsInADamagedFileEnds) {
  PlantedObjects planted = planted_objects();
  HeapGraph& graph = planted.snapshot.graph;
  graph.dominator[0] = 1;
  graph.dominator[1] = 0;
  Inspection inspection;
  inspection.node = planted.entry;

  const std::string text = as_text(make_inspection(planted.snapshot, inspection));

  EXPECT_LT(text.size(), 10000u);
}

}  // namespace
}  // namespace memsnap
