#pragma once

#include <cstdint>
#include <vector>

#include "inject/control/byte_cursor.h"
#include "inject/protocol/native_abi.h"

namespace memsnap {

// What the instructions have said so far of the registers that matter.
struct UnwindState {
  enum class Cfa : std::uint8_t { kRegister, kBehindBase, kOther };
  enum class Saved : std::uint8_t { kSame, kAtOffset, kAtBase, kUndefined, kOther };
  Cfa cfa = Cfa::kOther;
  std::uint64_t cfa_register = 0;
  std::int64_t cfa_offset = 0;  // kBehindBase: of the word, from rbp
  Saved base = Saved::kSame;
  std::int64_t base_offset = 0;
  Saved back = Saved::kSame;
  std::int64_t back_offset = 0;

  bool operator==(const UnwindState&) const = default;
};

// kUnknown when no rule can say it.
UnwindRule rule_of(const UnwindState& state);

// A CIE: what functions have in common.
struct UnwindCommon {
  bool usable = false;
  bool has_augmentation = false;
  bool signal = false;  // its frames are not of calls
  std::uint8_t encoding = 0;
  std::uint64_t code_factor = 1;
  std::int64_t data_factor = 1;
  UnwindState initial{};
};

// The instructions of an entry, run up to one row after the other.
class UnwindProgram {
 public:
  explicit UnwindProgram(const UnwindCommon& common) : common_(common), state_(common.initial) {}

  const UnwindState& state() const { return state_; }
  std::uint64_t location() const { return location_; }  // from the begin of the function
  // Goes on to where the next row begins, which is then location(). False: there is none.
  bool advance(Cursor& cursor);
  bool understood() const { return understood_; }

 private:
  using Saved = UnwindState::Saved;
  bool run(std::uint8_t code, Cursor& cursor);
  bool run_definition(std::uint8_t code, Cursor& cursor);
  bool run_expression(std::uint8_t code, Cursor& cursor);
  bool give_up();
  void define_by_expression(Cursor expression);
  std::int64_t scaled(std::int64_t factored) const;
  void set(std::uint64_t number, Saved saved, std::int64_t offset = 0);
  void restore(std::uint64_t number);

  const UnwindCommon& common_;
  UnwindState state_;
  std::uint64_t location_ = 0;
  std::vector<UnwindState> remembered_;
  bool understood_ = true;
};

}  // namespace memsnap
