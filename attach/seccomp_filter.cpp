#include "attach/seccomp_filter.h"

#include <fmt/format.h>
#include <linux/audit.h>
#include <sys/ptrace.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace memsnap {
namespace {

constexpr std::size_t kMaxFilters = 1024;
constexpr std::uint32_t kCells = BPF_MEMWORDS;

// A classic BPF machine: two registers and sixteen cells. Jumps only go forward, so it always ends.
class Machine {
 public:
  Machine(std::span<const sock_filter> program, const seccomp_data& data) : program_(program), data_(data) {}

  std::optional<std::uint32_t> run() {
    while (next_ < program_.size() && !failed_) {
      const sock_filter& instruction = program_[next_++];
      if (BPF_CLASS(instruction.code) == BPF_RET) return result(instruction);
      step(instruction);
    }
    return std::nullopt;
  }

 private:
  std::optional<std::uint32_t> result(const sock_filter& instruction) const {
    if (BPF_RVAL(instruction.code) == BPF_K) return instruction.k;
    if (BPF_RVAL(instruction.code) == BPF_A) return a_;
    return std::nullopt;
  }

  void step(const sock_filter& instruction) {
    switch (BPF_CLASS(instruction.code)) {
      case BPF_LD:
        load(instruction, a_);
        break;
      case BPF_LDX:
        load(instruction, x_);
        break;
      case BPF_ST:
        store(instruction.k, a_);
        break;
      case BPF_STX:
        store(instruction.k, x_);
        break;
      case BPF_ALU:
        calculate(instruction);
        break;
      case BPF_JMP:
        jump(instruction);
        break;
      default:  // BPF_MISC
        (BPF_MISCOP(instruction.code) == BPF_TAX ? x_ : a_) = BPF_MISCOP(instruction.code) == BPF_TAX ? a_ : x_;
        break;
    }
  }

  void load(const sock_filter& instruction, std::uint32_t& into) {
    switch (BPF_MODE(instruction.code)) {
      case BPF_IMM:
        into = instruction.k;
        break;
      case BPF_LEN:
        into = sizeof(seccomp_data);
        break;
      case BPF_MEM:
        if ((failed_ = instruction.k >= kCells)) return;
        into = cells_[instruction.k];
        break;
      case BPF_ABS:
        if ((failed_ = instruction.k % 4 != 0 || instruction.k > sizeof(seccomp_data) - 4)) return;
        std::memcpy(&into, reinterpret_cast<const char*>(&data_) + instruction.k, 4);
        break;
      default:
        failed_ = true;
    }
  }

  void store(std::uint32_t cell, std::uint32_t value) {
    if ((failed_ = cell >= kCells)) return;
    cells_[cell] = value;
  }

  void calculate(const sock_filter& instruction) {
    const std::uint32_t operand = BPF_SRC(instruction.code) == BPF_X ? x_ : instruction.k;
    switch (BPF_OP(instruction.code)) {
      case BPF_ADD:
        a_ += operand;
        break;
      case BPF_SUB:
        a_ -= operand;
        break;
      case BPF_MUL:
        a_ *= operand;
        break;
      case BPF_DIV:
        if ((failed_ = operand == 0)) return;
        a_ /= operand;
        break;
      case BPF_AND:
        a_ &= operand;
        break;
      case BPF_OR:
        a_ |= operand;
        break;
      case BPF_XOR:
        a_ ^= operand;
        break;
      case BPF_LSH:
        a_ <<= operand & 31;
        break;
      case BPF_RSH:
        a_ >>= operand & 31;
        break;
      case BPF_NEG:
        a_ = 0 - a_;
        break;
      default:
        failed_ = true;
    }
  }

  void jump(const sock_filter& instruction) {
    const std::uint32_t operand = BPF_SRC(instruction.code) == BPF_X ? x_ : instruction.k;
    bool taken = false;
    switch (BPF_OP(instruction.code)) {
      case BPF_JA:
        next_ += instruction.k;
        return;
      case BPF_JEQ:
        taken = a_ == operand;
        break;
      case BPF_JGT:
        taken = a_ > operand;
        break;
      case BPF_JGE:
        taken = a_ >= operand;
        break;
      case BPF_JSET:
        taken = (a_ & operand) != 0;
        break;
      default:
        failed_ = true;
    }
    next_ += taken ? instruction.jt : instruction.jf;
  }

  std::span<const sock_filter> program_;
  const seccomp_data& data_;
  std::size_t next_ = 0;
  std::uint32_t a_ = 0;
  std::uint32_t x_ = 0;
  std::array<std::uint32_t, kCells> cells_{};
  bool failed_ = false;
};

int seccomp_mode(pid_t pid, pid_t tid) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/status", pid, tid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Seccomp:")) return std::stoi(line.substr(8));
  }
  return 0;  // a kernel without seccomp
}

// All filters of a stopped thread; empty optional when the kernel does not show them (CAP_SYS_ADMIN is needed).
std::optional<std::vector<std::vector<sock_filter>>> read_filters(pid_t tid) {
  constexpr auto kGetFilter = static_cast<__ptrace_request>(0x420c);  // PTRACE_SECCOMP_GET_FILTER
  std::vector<std::vector<sock_filter>> filters;
  for (std::size_t index = 0; index < kMaxFilters; ++index) {
    const long length = ptrace(kGetFilter, tid, index, nullptr);
    if (length < 0 && errno == ENOENT && index > 0) return filters;
    if (length <= 0) return std::nullopt;
    std::vector<sock_filter> filter(static_cast<std::size_t>(length));
    if (ptrace(kGetFilter, tid, index, filter.data()) != length) return std::nullopt;
    filters.push_back(std::move(filter));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint32_t> run_filter(std::span<const sock_filter> program, const seccomp_data& data) {
  return Machine(program, data).run();
}

std::optional<SeccompGate> SeccompGate::open(pid_t pid, pid_t tid, int options, std::string* why) {
  SeccompGate gate;
  const int mode = seccomp_mode(pid, tid);
  if (mode == SECCOMP_MODE_STRICT) {
    *why = "it is in seccomp's strict mode";
    return std::nullopt;
  }
  if (mode == SECCOMP_MODE_FILTER) {
    if (ptrace(PTRACE_SETOPTIONS, tid, nullptr, options | PTRACE_O_SUSPEND_SECCOMP) == 0) {
      gate.suspended_ = true;
      return gate;
    }
    auto filters = read_filters(tid);
    if (!filters) {
      *why = "its seccomp filter can neither be suspended nor read (CAP_SYS_ADMIN, without a filter of one's own)";
      return std::nullopt;
    }
    gate.filters_ = std::move(*filters);
  }
  if (ptrace(PTRACE_SETOPTIONS, tid, nullptr, options) < 0) {
    *why = fmt::format("tracing options of thread {}: {}", tid, std::strerror(errno));
    return std::nullopt;
  }
  return gate;
}

bool SeccompGate::allows(long number, const std::array<std::uint64_t, 6>& arguments, std::uint64_t instruction) const {
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = AUDIT_ARCH_X86_64;
  data.instruction_pointer = instruction;
  std::copy(arguments.begin(), arguments.end(), data.args);
  return std::all_of(filters_.begin(), filters_.end(), [&](const std::vector<sock_filter>& filter) {
    const auto action = run_filter(filter, data);
    return action && ((*action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW ||
                      (*action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_LOG);
  });
}

}  // namespace memsnap
