#include "report/cli/completion.h"

#include <algorithm>
#include <string_view>

#include "report/cli/option_forms.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// Names of kinds are in capitals, words to be typed are not. Of "prefix=N" the word ends behind the sign.
std::vector<std::string> words_of(std::string_view form, char separator) {
  std::vector<std::string> words;
  for (std::string& word : split(form, separator)) {
    if (word.empty() || word[0] < 'a' || word[0] > 'z') continue;
    const std::size_t sign = word.find('=');
    if (sign != std::string::npos) word.resize(sign + 1);
    words.push_back(std::move(word));
  }
  return words;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

Offered offered_value(const po::option_description& option) {
  const std::string form = value_form(option);
  Offered offered;
  if (form == "FILE" || form == "PATTERN" || form == "CORE" || form == "FILE.prom") {
    offered.kind = Offer::kFiles;
  } else if (form == "FILE|auto") {
    offered = {Offer::kFiles, {"auto"}};
  } else if (form == "BASE") {
    offered.kind = Offer::kSnapshots;
  } else if (form == "DIR") {
    offered.kind = Offer::kFolders;
  } else if (form == "PATH") {
    offered.kind = option.long_name() == "cgroup" ? Offer::kFolders : Offer::kFiles;
  } else if (form == "PID") {
    offered.kind = Offer::kProcesses;
  } else if (form == "NAME" && option.long_name() == "user") {
    offered.kind = Offer::kUsers;
  } else if (contains(form, "|")) {
    offered = {Offer::kWords, words_of(form, '|')};
  } else if (contains(form, ",")) {
    offered = {Offer::kList, words_of(form, ',')};
  }
  const bool needs_words = offered.kind == Offer::kWords || offered.kind == Offer::kList;
  if (needs_words && offered.words.empty()) return {};
  return offered;
}

std::vector<Offer> offered_arguments(const Command& command) {
  std::vector<Offer> offers;
  const std::string& form = command.arguments;
  if (contains(form, "PID")) offers.push_back(Offer::kProcesses);
  if (contains(form, "SCRIPT")) {
    offers.push_back(Offer::kFiles);
  } else if (contains(form, "COMMAND")) {
    offers.push_back(Offer::kCommands);
  } else if (contains(form, "FILE") || contains(form, "OLD")) {
    offers.push_back(Offer::kSnapshots);
  } else if (contains(form, "DIR")) {
    offers.push_back(Offer::kFolders);
  }
  return offers;
}

bool is_repeatable(const po::option_description& option) {
  const auto typed = boost::dynamic_pointer_cast<const po::typed_value<std::vector<std::string>>>(option.semantic());
  return typed != nullptr || option.long_name() == "verbose";
}

std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + '\'';
}

}  // namespace memsnap
