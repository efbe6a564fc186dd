#include "report/cli/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <numeric>
#include <set>
#include <utility>

#include "report/cli/option_forms.h"
#include "report/cli/value_types.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr const char* kArgument = "argument";  // the name under which Boost keeps what is not an option
constexpr const char* kOnlyTyped = "exec";     // runs a command: neither environment nor configuration may
constexpr int kStyle = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;

// Of the words an option may be written as: "--color", "--color=x", "-o", "-oFILE", "-qv".
bool next_word_is_value(const std::string& word, const po::options_description& options) {
  if (word.find('=') != std::string::npos) return false;
  if (word.starts_with("--")) {
    const auto* option = options.find_nothrow(word.substr(2), false);
    return option != nullptr && takes_value(*option);
  }
  const auto* option = options.find_nothrow(word.substr(0, 2), false);
  return word.size() == 2 && option != nullptr && takes_value(*option);
}

std::vector<std::string> long_names(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back(option->long_name());
  return names;
}

// A flag given twice means what it means once; -v is counted.
void drop_repeated_flags(po::parsed_options& parsed, int& verbosity) {
  std::set<std::string> seen;
  std::vector<po::option> kept;
  for (po::option& option : parsed.options) {
    const auto* description = parsed.description->find_nothrow(option.string_key, false);
    const bool flag = option.position_key < 0 && description != nullptr && !takes_value(*description);
    if (flag && option.string_key == "verbose") ++verbosity;
    if (flag && !seen.insert(option.string_key).second) continue;
    kept.push_back(std::move(option));
  }
  parsed.options = std::move(kept);
}

Error usage_error(const po::error& error, const po::options_description& options) {
  if (const auto* unknown = dynamic_cast<const po::unknown_option*>(&error)) {
    const std::string name = unknown->get_option_name();
    const std::string meant =
        nearest_word(name.substr(std::min(name.find_first_not_of('-'), name.size())), long_names(options));
    return {ExitCode::kUsage, fmt::format("unknown option {}", name),
            meant.empty() ? "--help lists the options" : fmt::format("did you mean --{}?", meant)};
  }
  return {ExitCode::kUsage, error.what(), "--help lists the options"};
}

std::string variable_name(const std::string& option) {
  std::string name = "MEMSNAP_";
  for (const char c : option) {
    name += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

void store_value(po::variables_map& values, const po::options_description& options, const std::string& key,
                 const std::string& text, const std::string& from) {
  po::parsed_options parsed(&options);
  po::option option;
  option.string_key = key;
  option.value = {text};
  option.original_tokens = {key, text};
  parsed.options.push_back(std::move(option));
  try {
    po::store(parsed, values);
  } catch (const po::error& error) {
    throw Error(ExitCode::kUsage, fmt::format("{}: {}", from, error.what()), "");
  }
}

void read_environment(po::variables_map& values, const po::options_description& options, const GetVariable& variable) {
  for (const auto& option : options.options()) {
    const std::string& name = option->long_name();
    if (name == "help" || name == "version" || name == kArgument || name == kOnlyTyped) continue;
    if (values.count(name) != 0 && !values[name].defaulted()) continue;
    const std::string from = variable_name(name);
    if (const auto text = variable(from); text && !text->empty()) store_value(values, options, name, *text, from);
  }
}

bool is_option_somewhere(const std::string& name, const std::vector<Command>& commands) {
  if (global_options().find_nothrow(name, false) != nullptr) return true;
  return std::any_of(commands.begin(), commands.end(),
                     [&](const Command& command) { return command.options.find_nothrow(name, false) != nullptr; });
}

// `key` is "rows", for every command that has it, or "summary.rows".
void check_config_key(const std::string& key, const std::vector<Command>& commands, const std::string& file) {
  const std::size_t dot = key.find('.');
  const std::string section = dot == std::string::npos ? "" : key.substr(0, dot);
  const std::string name = dot == std::string::npos ? key : key.substr(dot + 1);
  const bool section_known = section.empty() || std::any_of(commands.begin(), commands.end(),
                                                            [&](const Command& c) { return c.name == section; });
  if (!section_known) throw Error(ExitCode::kUsage, fmt::format("{}: no command is called [{}]", file, section), "");
  if (!is_option_somewhere(name, commands)) {
    throw Error(ExitCode::kUsage, fmt::format("{}: unknown option '{}'", file, name),
                "the names are those of the long options, without --");
  }
}

void read_config(po::variables_map& values, const po::options_description& options, const std::string& command,
                 const std::vector<Command>& commands, const std::string& file, bool must_exist) {
  std::ifstream stream(file);
  if (!stream) {
    if (must_exist) throw Error(ExitCode::kUsage, fmt::format("cannot read the configuration {}", file), "");
    return;
  }
  const po::options_description nothing;
  po::parsed_options parsed(&nothing);
  try {
    parsed = po::parse_config_file(stream, nothing, true);
  } catch (const po::error& error) {
    throw Error(ExitCode::kUsage, fmt::format("{}: {}", file, error.what()), "");
  }
  // The command's own section is stronger than what stands above all sections.
  for (const bool own_section : {true, false}) {
    for (const po::option& option : parsed.options) {
      check_config_key(option.string_key, commands, file);
      const bool in_section = option.string_key.starts_with(command + ".");
      if (in_section != own_section) continue;
      const std::string key = own_section ? option.string_key.substr(command.size() + 1) : option.string_key;
      if (options.find_nothrow(key, false) == nullptr || option.value.empty()) continue;
      if (key == kOnlyTyped) {
        throw Error(ExitCode::kUsage, fmt::format("{}: {} is taken from the command line alone", file, key),
                    "what is run is to be seen where it is run");
      }
      store_value(values, options, key, option.value.front(), file);
    }
  }
}

}  // namespace

po::options_description global_options() {
  po::options_description options("Global options");
  auto add = options.add_options();
  add("help,h", "help of the command");
  add("version,V", "version, build id, supported CPython versions");
  add("quiet,q", po::bool_switch(), "nothing on stderr but errors");
  add("verbose,v", po::bool_switch(), "more on stderr; twice: every step");
  add("json", po::bool_switch(), "one JSON document on stdout");
  add("jsonl", po::bool_switch(), "one JSON object a line");
  add("csv", po::bool_switch(), "a table as CSV with a header");
  add("log-format", one_of("log-format", {"text", "json"}), "format of the messages on stderr");
  add("color", one_of("color", {"auto", "always", "never"}), "NO_COLOR and CLICOLOR_FORCE are known too");
  add("no-pager", po::bool_switch(), "else MEMSNAP_PAGER, PAGER, less -FRX, on a terminal; as root less -FRX");
  add("ascii", po::bool_switch(), "no box drawing; automatic when the locale is not UTF-8");
  add("units", one_of("units", {"iec", "si", "bytes"}), "1 KiB = 1024 (default), 1 kB = 1000, plain numbers");
  add("dir", po::value<std::string>()->value_name("DIR"),
      "where snapshots, captures and logs are unless a file is named; default $MEMSNAP_DIR, else "
      "~/.local/state/memsnap");
  add("config", po::value<std::string>()->value_name("FILE"), "INI file with the names of the long options");
  return options;
}

SplitLine split_command_line(const std::vector<std::string>& words) {
  const po::options_description options = global_options();
  SplitLine line;
  std::size_t at = 0;
  for (; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word.size() < 2 || word[0] != '-') break;
    if (word == "--") {
      ++at;
      break;
    }
    line.before.push_back(word);
    if (next_word_is_value(word, options) && at + 1 < words.size()) line.before.push_back(words[++at]);
  }
  if (at < words.size()) {
    line.command = words[at];
    line.after.assign(words.begin() + static_cast<std::ptrdiff_t>(at) + 1, words.end());
  }
  return line;
}

std::vector<std::string> take_program(SplitLine& line, const Command& command) {
  po::options_description options = global_options();
  options.add(command.options);
  std::size_t at = 0;
  bool module = false;
  for (; at < line.after.size(); ++at) {
    const std::string& word = line.after[at];
    module = word == "-m" || word == "--module";
    if (word.size() > 2 && word.starts_with("-m")) {  // "-mjson.tool"
      const std::string name = word.substr(2);
      line.after[at] = "-m";
      line.after.insert(line.after.begin() + static_cast<std::ptrdiff_t>(at) + 1, name);
      module = true;
      break;
    }
    if (module || word == "--" || word.size() < 2 || word[0] != '-') break;
    if (next_word_is_value(word, options)) ++at;
  }
  at = std::min(at, line.after.size());
  std::vector<std::string> program(line.after.begin() + static_cast<std::ptrdiff_t>(at), line.after.end());
  if (module) program.front() = "-m";
  line.after.resize(at);
  return program;
}

ParsedOptions parse_options(const SplitLine& line, const Command* command, const std::vector<Command>& commands,
                            const OptionSources& sources) {
  const po::options_description global = global_options();
  po::options_description all;
  all.add(global);
  if (command != nullptr) all.add(command->options);
  po::options_description with_arguments;
  with_arguments.add(all);
  with_arguments.add_options()(kArgument, po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add(kArgument, -1);

  ParsedOptions result;
  try {
    po::parsed_options before = po::command_line_parser(line.before).options(global).style(kStyle).run();
    po::parsed_options parsed =
        po::command_line_parser(line.after).options(with_arguments).positional(positional).style(kStyle).run();
    parsed.options.insert(parsed.options.begin(), std::make_move_iterator(before.options.begin()),
                          std::make_move_iterator(before.options.end()));
    drop_repeated_flags(parsed, result.verbosity);
    po::store(parsed, result.values);
  } catch (const po::error& error) {
    throw usage_error(error, all);
  }
  if (result.values.count(kArgument) != 0) {
    result.arguments = result.values[kArgument].as<std::vector<std::string>>();
  }
  if (sources.trusted) read_environment(result.values, all, sources.variable);
  const std::string name = command == nullptr ? "" : command->name;
  if (result.values.count("config") != 0) {
    read_config(result.values, all, name, commands, result.values["config"].as<std::string>(), true);
  } else {
    for (const std::string& file : sources.config_files) read_config(result.values, all, name, commands, file, false);
  }
  if (result.verbosity == 0 && result.values["verbose"].as<bool>()) result.verbosity = 1;
  try {
    po::notify(result.values);
  } catch (const po::error& error) {
    throw usage_error(error, all);
  }
  return result;
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  std::string nearest;
  std::size_t best = std::min<std::size_t>(2, word.size() / 2) + 1;  // more changes than this is another word
  for (const std::string& candidate : known) {
    // Levenshtein's distance, one row at a time.
    std::vector<std::size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < word.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i + 1);
      for (std::size_t j = 0; j < candidate.size(); ++j) {
        const std::size_t substituted = diagonal + (word[i] == candidate[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
      }
    }
    const bool begins = word.size() >= 3 && candidate.starts_with(word);
    const std::size_t distance = begins ? 1 : row.back();
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace memsnap
