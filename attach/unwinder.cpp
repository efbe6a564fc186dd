#include "attach/unwinder.h"

#include <elf.h>
#include <libunwind.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <span>

// Of libunwind, for unwinders of other processes; its headers leave it out.
extern "C" int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t* table,
                                                  unw_proc_info_t* info, int need_unwind_info, void* argument);

namespace memsnap {
namespace {

constexpr std::size_t kMaxFrames = 1u << 15;
constexpr std::size_t kMaxProgramHeaders = 256;
constexpr std::uint64_t kMaxReads = 20'000'000;        // of all stacks: tables are hostile, and may lead in circles
constexpr std::uint64_t kMaxStack = 64ull << 20;       // of a thread, as far as it is copied
constexpr std::uint64_t kUnknownStack = 256ull << 10;  // where its end is not known
constexpr std::uint64_t kRedZone = 128;

// Where one loaded object has its search table (.eh_frame_hdr). `table` 0: it has none that can be used.
struct Module {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t header = 0;
  std::uint64_t table = 0;
  std::uint64_t entries = 0;
};

std::optional<Module> read_table(const ProcessMemory& memory, Module module) {
  struct Header {
    std::uint8_t version, frame_encoding, count_encoding, table_encoding;
    std::int32_t frame;
    std::uint32_t count;
  };
  constexpr std::uint8_t kSigned4Relative = 0x1b;  // to the place itself
  constexpr std::uint8_t kUnsigned4 = 0x03;
  constexpr std::uint8_t kSigned4Table = 0x3b;  // to the header
  const auto header = memory.try_read<Header>(module.header);
  if (!header || header->version != 1 || header->frame_encoding != kSigned4Relative ||
      header->count_encoding != kUnsigned4 || header->table_encoding != kSigned4Table) {
    return std::nullopt;
  }
  module.table = module.header + sizeof(Header);
  module.entries = header->count;
  return module;
}

Module read_module(const ProcessMemory& memory, std::uint64_t base) {
  Module module{.begin = base, .end = base + 1};
  const auto header = memory.try_read<Elf64_Ehdr>(base);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_phentsize != sizeof(Elf64_Phdr) ||
      header->e_phnum > kMaxProgramHeaders) {
    return module;
  }
  std::vector<Elf64_Phdr> programs(header->e_phnum);
  if (!memory.copy(base + header->e_phoff, std::as_writable_bytes(std::span(programs)))) return module;
  std::uint64_t lowest = ~0ull;
  std::uint64_t highest = 0;
  std::uint64_t table = 0;
  for (const Elf64_Phdr& program : programs) {
    if (program.p_type == PT_GNU_EH_FRAME) table = program.p_vaddr;
    if (program.p_type != PT_LOAD) continue;
    lowest = std::min<std::uint64_t>(lowest, program.p_vaddr & ~0xfffull);
    highest = std::max<std::uint64_t>(highest, program.p_vaddr + program.p_memsz);
  }
  if (highest <= lowest) return module;
  const std::uint64_t bias = base - lowest;
  module.end = bias + highest;
  if (table == 0) return module;
  module.header = bias + table;
  return read_table(memory, module).value_or(module);
}

std::optional<std::uint64_t> value_of(const user_regs_struct& registers, unw_regnum_t number) {
  const std::array values{registers.rax, registers.rdx, registers.rcx, registers.rbx, registers.rsi, registers.rdi,
                          registers.rbp, registers.rsp, registers.r8,  registers.r9,  registers.r10, registers.r11,
                          registers.r12, registers.r13, registers.r14, registers.r15, registers.rip};
  if (number < 0 || static_cast<std::size_t>(number) >= values.size()) return std::nullopt;
  return values.at(static_cast<std::size_t>(number));
}

// Where the call instruction before a return address went to; 0: it is not one that names its target.
std::uint64_t call_target(const ProcessMemory& memory, const NativeFrame& caller) {
  struct [[gnu::packed]] Call {
    std::uint8_t code;
    std::int32_t distance;
  };
  constexpr std::uint8_t kCallRelative = 0xe8;
  if (!caller.is_call) return 0;
  const auto call = memory.try_read<Call>(caller.instruction - sizeof(Call));
  if (!call || call->code != kCallRelative) return 0;
  return caller.instruction + static_cast<std::uint64_t>(std::int64_t{call->distance});
}

}  // namespace

struct Unwinder::State {
  const ProcessMemory& memory;
  const MemoryMap& map;
  unw_accessors_t accessors{};
  unw_addr_space_t space = nullptr;
  std::map<std::uint64_t, Module> modules{};  // by the address of their first byte
  std::uint64_t reads = 0;
  const user_regs_struct* registers = nullptr;

  const Module* module_of(std::uint64_t address) {
    const Mapping* mapping = map.find(address);
    if (mapping == nullptr) return nullptr;
    const auto all = map.mappings();
    const Mapping* first = mapping;
    // The object's first mapping: that of its file from the beginning.
    while (mapping->inode != 0 && first->offset != 0 && first != all.data()) {
      --first;
      if (mapping->begin - first->begin > 1ull << 32) return nullptr;
    }
    if (first->inode != mapping->inode || first->device != mapping->device) return nullptr;
    auto [known_module, is_new] = modules.try_emplace(first->begin);
    if (is_new) known_module->second = read_module(memory, first->begin);
    return address < known_module->second.end ? &known_module->second : nullptr;
  }

  static State& of(void* argument) { return *static_cast<State*>(argument); }

  static int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* info, int need, void* argument) {
    State& state = of(argument);
    const Module* const module = state.module_of(ip);
    if (module == nullptr || module->table == 0) return -UNW_ENOINFO;
    unw_dyn_info_t table{};
    table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
    table.start_ip = module->begin;
    table.end_ip = module->end;
    table.u.rti.segbase = module->header;
    table.u.rti.table_data = module->table;
    table.u.rti.table_len = module->entries;
    return UNW_OBJ(dwarf_search_unwind_table)(space, ip, &table, info, need, argument);
  }

  static int access_mem(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write, void* argument) {
    State& state = of(argument);
    if (write != 0 || ++state.reads > kMaxReads) return -UNW_EINVAL;
    const auto read = state.memory.try_read<std::uint64_t>(address);
    if (!read) return -UNW_EINVAL;
    *value = *read;
    return 0;
  }

  static int access_reg(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write, void* argument) {
    const auto read = value_of(*of(argument).registers, number);
    if (write != 0 || !read) return -UNW_EBADREG;
    *value = *read;
    return 0;
  }

  static void put_unwind_info(unw_addr_space_t, unw_proc_info_t*, void*) {}
  static int get_list(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }
  static int access_fpreg(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) { return -UNW_EBADREG; }
  static int resume(unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; }
  static int get_proc_name(unw_addr_space_t, unw_word_t, char*, std::size_t, unw_word_t*, void*) {
    return -UNW_ENOINFO;
  }
};

Unwinder::Unwinder(const ProcessMemory& memory, const MemoryMap& map)
    : state_(new State{.memory = memory, .map = map}) {
  unw_accessors_t& accessors = state_->accessors;
  accessors.find_proc_info = State::find_proc_info;
  accessors.put_unwind_info = State::put_unwind_info;
  accessors.get_dyn_info_list_addr = State::get_list;
  accessors.access_mem = State::access_mem;
  accessors.access_reg = State::access_reg;
  accessors.access_fpreg = State::access_fpreg;
  accessors.resume = State::resume;
  accessors.get_proc_name = State::get_proc_name;
  state_->space = unw_create_addr_space(&accessors, 0);
  if (state_->space != nullptr) unw_set_caching_policy(state_->space, UNW_CACHE_GLOBAL);
}

Unwinder::~Unwinder() {
  if (state_->space != nullptr) unw_destroy_addr_space(state_->space);
}

NativeStack Unwinder::unwind(const user_regs_struct& registers) const {
  NativeStack stack;
  state_->registers = &registers;
  unw_cursor_t cursor;
  if (state_->space == nullptr || unw_init_remote(&cursor, state_->space, state_.get()) != 0) return stack;
  bool called = false;
  while (stack.frames.size() < kMaxFrames) {
    unw_word_t ip = 0;
    unw_word_t sp = 0;
    if (unw_get_reg(&cursor, UNW_REG_IP, &ip) != 0 || unw_get_reg(&cursor, UNW_REG_SP, &sp) != 0) return stack;
    const bool interrupted = unw_is_signal_frame(&cursor) > 0;
    stack.frames.push_back({.instruction = ip, .stack_pointer = sp, .is_call = called && !interrupted});
    called = !interrupted;
    unw_cursor_t inner = cursor;
    const int step = unw_step(&cursor);
    if (step < 0) return stack;
    if (step == 0 || unw_get_reg(&cursor, UNW_REG_IP, &ip) != 0 || ip == 0) {
      // The end of the chain is the end of the stack only where a table says so, not where a guess led.
      unw_proc_info_t info{};
      stack.complete = unw_get_proc_info(&inner, &info) == 0;
      break;
    }
  }
  for (std::size_t i = 0; i + 1 < stack.frames.size(); ++i)
    stack.frames[i].entry = call_target(state_->memory, stack.frames[i + 1]);
  return stack;
}

StackRange used_stack(const user_regs_struct& registers, const MemoryMap& map) {
  const std::uint64_t begin = registers.rsp - kRedZone;
  // The C library puts a thread's descriptor at the end of its stack; the main thread's stack has a mapping of its own.
  if (registers.fs_base > registers.rsp && registers.fs_base - registers.rsp < kMaxStack)
    return {begin, registers.fs_base};
  const Mapping* const mapping = map.find(registers.rsp);
  const std::uint64_t end = mapping == nullptr ? registers.rsp + kUnknownStack : mapping->end;
  return {begin, std::min<std::uint64_t>(end, registers.rsp + kMaxStack)};
}

}  // namespace memsnap
