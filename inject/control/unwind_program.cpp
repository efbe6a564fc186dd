#include "inject/control/unwind_program.h"

#include <algorithm>
#include <optional>

// DWARF 5, section 6.4.2.
namespace memsnap {
namespace {

constexpr std::uint64_t kBase = 6;  // DWARF's numbers of registers: rbp, rsp, the return address
constexpr std::uint64_t kStack = 7;
constexpr std::uint64_t kReturn = 16;
constexpr std::size_t kMostRemembered = 64;

// DW_OP_breg6 with its offset.
std::optional<std::int64_t> base_plus(Cursor& expression) {
  constexpr std::uint8_t kRegister6 = 0x76;
  if (expression.get<std::uint8_t>() != kRegister6) return std::nullopt;
  return expression.signed_number();
}

}  // namespace

UnwindRule rule_of(const UnwindState& state) {
  constexpr UnwindRule kUnknown{.kind = UnwindKind::kUnknown};
  UnwindRule rule;
  if (state.back == UnwindState::Saved::kUndefined) return {.kind = UnwindKind::kOutermost};
  if (state.back != UnwindState::Saved::kAtOffset || state.back_offset != -8) return kUnknown;
  std::int64_t offset = state.cfa_offset;
  if (state.cfa == UnwindState::Cfa::kRegister && state.cfa_register == kStack) {
    rule.kind = UnwindKind::kStack;
  } else if (state.cfa == UnwindState::Cfa::kRegister && state.cfa_register == kBase) {
    rule.kind = UnwindKind::kBase;
  } else if (state.cfa == UnwindState::Cfa::kBehindBase) {
    rule.kind = UnwindKind::kIndirect;
    offset = offset > 0 ? -1 : -std::max(offset, -std::int64_t{kMostUnwindOffset} - 8);
  } else {
    return kUnknown;
  }
  if (offset < 0 || offset % 8 != 0 || offset > std::int64_t{kMostUnwindOffset}) return kUnknown;
  rule.offset = static_cast<std::uint32_t>(offset);
  switch (state.base) {
    case UnwindState::Saved::kSame:
      break;
    case UnwindState::Saved::kAtOffset:
      if (state.base_offset >= -8 || state.base_offset % 8 != 0 || state.base_offset < -std::int64_t{kMostUnwindBase})
        return kUnknown;
      rule.base = static_cast<std::uint32_t>(-state.base_offset);
      break;
    case UnwindState::Saved::kAtBase:
      rule.base = kBaseAtBase;
      break;
    default:
      return kUnknown;
  }
  return rule;
}

bool UnwindProgram::advance(Cursor& cursor) {
  while (!cursor.at_end()) {
    const auto code = cursor.get<std::uint8_t>();
    const std::uint64_t low = code & 0x3f;
    switch (code >> 6) {
      case 1:
        location_ += low * common_.code_factor;
        return true;
      case 2:
        set(low, Saved::kAtOffset, scaled(static_cast<std::int64_t>(cursor.unsigned_number())));
        continue;
      case 3:
        restore(low);
        continue;
      default:
        break;
    }
    if (code >= 0x02 && code <= 0x04) {
      const std::uint64_t distance = code == 0x02   ? cursor.get<std::uint8_t>()
                                     : code == 0x03 ? cursor.get<std::uint16_t>()
                                                    : cursor.get<std::uint32_t>();
      location_ += distance * common_.code_factor;
      return true;
    }
    if (!run(code, cursor)) return false;
  }
  return false;
}

bool UnwindProgram::run(std::uint8_t code, Cursor& cursor) {
  switch (code) {
    case 0x00:  // nop
      return true;
    case 0x05: {  // offset_extended
      const std::uint64_t number = cursor.unsigned_number();
      set(number, Saved::kAtOffset, scaled(static_cast<std::int64_t>(cursor.unsigned_number())));
      return true;
    }
    case 0x06:  // restore_extended
      restore(cursor.unsigned_number());
      return true;
    case 0x07:  // undefined
      set(cursor.unsigned_number(), Saved::kUndefined);
      return true;
    case 0x08:  // same_value
      set(cursor.unsigned_number(), Saved::kSame);
      return true;
    case 0x09: {  // register
      const std::uint64_t number = cursor.unsigned_number();
      cursor.unsigned_number();
      set(number, Saved::kOther);
      return true;
    }
    case 0x0a:  // remember_state
      if (remembered_.size() < kMostRemembered) remembered_.push_back(state_);
      return true;
    case 0x0b:  // restore_state
      if (remembered_.empty()) return give_up();
      state_ = remembered_.back();
      remembered_.pop_back();
      return true;
    case 0x2e:  // GNU_args_size
      cursor.unsigned_number();
      return true;
    default:
      return run_definition(code, cursor);
  }
}

bool UnwindProgram::run_definition(std::uint8_t code, Cursor& cursor) {
  switch (code) {
    case 0x0c:  // def_cfa
      state_.cfa = UnwindState::Cfa::kRegister;
      state_.cfa_register = cursor.unsigned_number();
      state_.cfa_offset = static_cast<std::int64_t>(cursor.unsigned_number());
      return true;
    case 0x0d:  // def_cfa_register
      state_.cfa_register = cursor.unsigned_number();
      return true;
    case 0x0e:  // def_cfa_offset
      state_.cfa_offset = static_cast<std::int64_t>(cursor.unsigned_number());
      return true;
    case 0x11: {  // offset_extended_sf
      const std::uint64_t number = cursor.unsigned_number();
      set(number, Saved::kAtOffset, scaled(cursor.signed_number()));
      return true;
    }
    case 0x12:  // def_cfa_sf
      state_.cfa = UnwindState::Cfa::kRegister;
      state_.cfa_register = cursor.unsigned_number();
      state_.cfa_offset = scaled(cursor.signed_number());
      return true;
    case 0x13:  // def_cfa_offset_sf
      state_.cfa_offset = scaled(cursor.signed_number());
      return true;
    default:
      return run_expression(code, cursor);
  }
}

bool UnwindProgram::run_expression(std::uint8_t code, Cursor& cursor) {
  switch (code) {
    case 0x0f:  // def_cfa_expression
      define_by_expression(cursor.part(cursor.unsigned_number()));
      return true;
    case 0x10: {  // expression
      const std::uint64_t number = cursor.unsigned_number();
      Cursor expression = cursor.part(cursor.unsigned_number());
      const bool at_base = number == kBase && base_plus(expression) == 0 && expression.at_end();
      set(number, at_base ? Saved::kAtBase : Saved::kOther);
      return true;
    }
    case 0x14:    // val_offset
    case 0x15: {  // val_offset_sf
      const std::uint64_t number = cursor.unsigned_number();
      cursor.unsigned_number();
      set(number, Saved::kOther);
      return true;
    }
    case 0x16: {  // val_expression
      const std::uint64_t number = cursor.unsigned_number();
      cursor.part(cursor.unsigned_number());
      set(number, Saved::kOther);
      return true;
    }
    default:  // set_loc among them, which nobody writes
      return give_up();
  }
}

bool UnwindProgram::give_up() {
  understood_ = false;
  return false;
}

// A function that aligned its stack has kept where it was: DW_OP_breg6 -n, DW_OP_deref.
void UnwindProgram::define_by_expression(Cursor expression) {
  constexpr std::uint8_t kDereference = 0x06;
  const auto offset = base_plus(expression);
  const bool known = offset && expression.get<std::uint8_t>() == kDereference && expression.at_end();
  state_.cfa = known && !expression.failed() ? UnwindState::Cfa::kBehindBase : UnwindState::Cfa::kOther;
  state_.cfa_offset = known ? *offset : 0;
  state_.cfa_register = 0;
}

// What overflows is made no multiple of eight, which no rule has.
std::int64_t UnwindProgram::scaled(std::int64_t factored) const {
  std::int64_t value = 0;
  return __builtin_mul_overflow(factored, common_.data_factor, &value) ? 1 : value;
}

void UnwindProgram::set(std::uint64_t number, Saved saved, std::int64_t offset) {
  if (number == kBase) {
    state_.base = saved;
    state_.base_offset = offset;
  } else if (number == kReturn) {
    state_.back = saved;
    state_.back_offset = offset;
  }
}
void UnwindProgram::restore(std::uint64_t number) {
  if (number == kBase) set(number, common_.initial.base, common_.initial.base_offset);
  if (number == kReturn) set(number, common_.initial.back, common_.initial.back_offset);
}

}  // namespace memsnap
