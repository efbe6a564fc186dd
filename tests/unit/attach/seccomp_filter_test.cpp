#include "attach/seccomp_filter.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <sys/syscall.h>

#include <cstddef>
#include <vector>

namespace memsnap {
namespace {

using Program = std::vector<sock_filter>;

sock_filter statement(int code, std::uint32_t k) { return {static_cast<std::uint16_t>(code), 0, 0, k}; }
sock_filter jump(int code, std::uint32_t k, std::uint8_t jt, std::uint8_t jf) {
  return {static_cast<std::uint16_t>(code), jt, jf, k};
}

constexpr std::uint32_t kNumber = offsetof(seccomp_data, nr);
constexpr std::uint32_t kArch = offsetof(seccomp_data, arch);
constexpr std::uint32_t kFirstArgument = offsetof(seccomp_data, args);

seccomp_data call(int number, std::uint64_t first_argument = 0) {
  return {.nr = number, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = 0, .args = {first_argument, 0, 0, 0, 0, 0}};
}

Program refuse(int number) {
  return {statement(BPF_LD | BPF_W | BPF_ABS, kArch),
          jump(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
          statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
          statement(BPF_LD | BPF_W | BPF_ABS, kNumber),
          jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1),
          statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
          statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
}

TEST(SeccompFilter, ComparesTheCallsNumber) {
  EXPECT_EQ(run_filter(refuse(SYS_clone), call(SYS_clone)), SECCOMP_RET_ERRNO | 1u);
  EXPECT_EQ(run_filter(refuse(SYS_clone), call(SYS_wait4)), static_cast<std::uint32_t>(SECCOMP_RET_ALLOW));
}

TEST(SeccompFilter, ComparesTheArchitecture) {
  seccomp_data data = call(SYS_wait4);
  data.arch = AUDIT_ARCH_I386;
  EXPECT_EQ(run_filter(refuse(SYS_clone), data), static_cast<std::uint32_t>(SECCOMP_RET_KILL_PROCESS));
}

// As Docker's default: clone is allowed without the flags that make namespaces.
TEST(SeccompFilter, MasksAnArgument) {
  const Program program = {statement(BPF_LD | BPF_W | BPF_ABS, kFirstArgument),
                           statement(BPF_ALU | BPF_AND | BPF_K, 0x7e020000), jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                           statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                           statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 38)};
  EXPECT_EQ(run_filter(program, call(SYS_clone, 0x600)), static_cast<std::uint32_t>(SECCOMP_RET_ALLOW));
  EXPECT_EQ(run_filter(program, call(SYS_clone, 0x10000600)), SECCOMP_RET_ERRNO | 38u);
}

TEST(SeccompFilter, ReadsTheUpperHalfOfAnArgument) {
  const Program program = {statement(BPF_LD | BPF_W | BPF_ABS, kFirstArgument + 4), statement(BPF_RET | BPF_A, 0)};
  EXPECT_EQ(run_filter(program, call(SYS_clone, 0x1234'0000'0001)), 0x1234u);
}

TEST(SeccompFilter, CalculatesAsTheKernelDoes) {
  const Program program = {statement(BPF_LD | BPF_IMM, 100),
                           statement(BPF_MISC | BPF_TAX, 0),
                           statement(BPF_ALU | BPF_ADD | BPF_X, 0),
                           statement(BPF_ALU | BPF_SUB | BPF_K, 1),
                           statement(BPF_ALU | BPF_MUL | BPF_K, 4),
                           statement(BPF_ALU | BPF_DIV | BPF_K, 3),
                           statement(BPF_ALU | BPF_LSH | BPF_K, 4),
                           statement(BPF_ALU | BPF_RSH | BPF_K, 2),
                           statement(BPF_ALU | BPF_OR | BPF_K, 1),
                           statement(BPF_ALU | BPF_XOR | BPF_K, 3),
                           statement(BPF_ST, 5),
                           statement(BPF_LD | BPF_IMM, 0),
                           statement(BPF_LD | BPF_MEM, 5),
                           statement(BPF_ALU | BPF_NEG, 0),
                           statement(BPF_RET | BPF_A, 0)};
  constexpr std::uint32_t kExpected = ((((100u + 100 - 1) * 4 / 3) << 4 >> 2) | 1) ^ 3;
  EXPECT_EQ(run_filter(program, call(SYS_clone)), 0u - kExpected);
}

TEST(SeccompFilter, JumpsByOrderAndBits) {
  const auto result = [](int code, std::uint32_t k, std::uint32_t value) {
    const Program program = {statement(BPF_LD | BPF_IMM, value), jump(BPF_JMP | code | BPF_K, k, 1, 0),
                             statement(BPF_RET | BPF_K, 0), statement(BPF_RET | BPF_K, 1)};
    return run_filter(program, call(0)).value_or(99);
  };
  EXPECT_EQ(result(BPF_JGT, 5, 5), 0u);
  EXPECT_EQ(result(BPF_JGT, 5, 6), 1u);
  EXPECT_EQ(result(BPF_JGE, 5, 5), 1u);
  EXPECT_EQ(result(BPF_JGE, 5, 4), 0u);
  EXPECT_EQ(result(BPF_JSET, 6, 9), 0u);
  EXPECT_EQ(result(BPF_JSET, 6, 2), 1u);
}

TEST(SeccompFilter, WhatTheKernelWouldNotAcceptHasNoResult) {
  EXPECT_EQ(run_filter({}, call(0)), std::nullopt);
  EXPECT_EQ(run_filter(Program{statement(BPF_LD | BPF_IMM, 1)}, call(0)), std::nullopt);  // runs off its end
  EXPECT_EQ(run_filter(Program{statement(BPF_LD | BPF_W | BPF_ABS, 64), statement(BPF_RET | BPF_A, 0)}, call(0)),
            std::nullopt);  // behind the data
  EXPECT_EQ(run_filter(Program{statement(BPF_LD | BPF_MEM, 16), statement(BPF_RET | BPF_A, 0)}, call(0)), std::nullopt);
  EXPECT_EQ(run_filter(Program{statement(BPF_ALU | BPF_DIV | BPF_K, 0), statement(BPF_RET | BPF_A, 0)}, call(0)),
            std::nullopt);
  EXPECT_EQ(run_filter(Program{statement(BPF_JMP | BPF_JA, 0xffffffff)}, call(0)), std::nullopt);
}

}  // namespace
}  // namespace memsnap
