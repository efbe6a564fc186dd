// Puts the agent to work inside the process that loads this library, without memsnap: what the live tests of the agent
// and its benchmark use. Loaded by ctypes; in_process_start sets the hooks, in_process_dump writes what was recorded.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <pthread.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "inject/control/unwind_rules.h"
#include "inject/protocol/agent_abi.h"
#include "snapshot/cpython/line_table.h"
#include "snapshot/cpython/py_layout.h"

extern "C" [[gnu::visibility("hidden")]] void wild_base(std::size_t size, std::uint64_t base, void* (*hook)(std::size_t));
extern "C" [[gnu::visibility("hidden")]] void wild_indirect(std::size_t size, std::uint64_t base, void* (*hook)(std::size_t));
extern "C" [[gnu::visibility("hidden")]] const char caller_one[], caller_two[];
extern "C" [[gnu::visibility("hidden")]] void* saves_base(std::size_t size);
extern "C" [[gnu::visibility("hidden")]] void* (*hook_below)(std::size_t);
void* (*hook_below)(std::size_t) = nullptr;
asm(R"(
  .text
caller_of_nothing:
  .cfi_startproc
  .cfi_def_cfa 6, 16
  .cfi_offset 6, -16
  nop
caller_one:
  nop
  .cfi_endproc
caller_of_nothing_else:
  .cfi_startproc
  .cfi_def_cfa 6, 16
  .cfi_offset 6, -16
  nop
caller_two:
  nop
  .cfi_endproc
saves_base:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset 6, -16
  xorl %ebp, %ebp
  call *hook_below(%rip)
  popq %rbp
  .cfi_def_cfa_offset 8
  ret
  .cfi_endproc
wild_base:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset 6, -16
  movq %rsi, %rbp
  .cfi_def_cfa_register 6
  call *%rdx
  popq %rbp
  .cfi_def_cfa 7, 8
  ret
  .cfi_endproc
wild_indirect:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  movq %rsi, %rbp
  .cfi_escape 0x10, 6, 2, 0x76, 0
  .cfi_escape 0x0f, 3, 0x76, 0x78, 0x06
  call *%rdx
  popq %rbp
  .cfi_def_cfa 7, 8
  ret
  .cfi_endproc
)");

namespace {

using memsnap::AgentCode;
using memsnap::Allocator;
using memsnap::AgentConfig;
using memsnap::AgentControl;
using memsnap::AgentCounts;
using memsnap::AgentHeader;
using memsnap::AgentNode;
using memsnap::AgentSection;
using memsnap::AgentThread;

struct Settings {
  std::uint64_t period = 1;
  std::uint32_t depth = 1024;
  std::uint32_t hex = 0;
  bool python_domains = false;
  bool native = false;
  std::uint64_t thread_records = 256;
};

struct Domain {  // PyMemAllocatorEx
  void* context;
  std::uint64_t malloc, calloc, realloc, free;
};

char* base = nullptr;
AgentHeader* header = nullptr;
AgentControl* control = nullptr;
Settings settings;
int table_file = -1;
std::uint64_t counted[3];
void* (*hook)(std::size_t) = nullptr;

std::uint64_t address_of(const char* name) { return reinterpret_cast<std::uint64_t>(dlsym(RTLD_DEFAULT, name)); }

// Where a function of the malloc family really is. The default search may find the program's own jump through a slot
// that is hooked.
std::uint64_t provided(const char* name) {
  void* library = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  Dl_info found{};
  if (const std::uint64_t counting = address_of("counting_begin"); counting != 0 && dladdr(reinterpret_cast<void*>(counting), &found) != 0)
    library = dlopen(found.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  return reinterpret_cast<std::uint64_t>(dlsym(library, name));
}

template <class T>
T* items(const AgentSection& section) {
  return reinterpret_cast<T*>(base + section.offset);
}

// Room for everything a test does: pages that are never touched cost nothing.
void map_tables() {
  AgentHeader plan{};
  std::uint64_t at = (sizeof(AgentHeader) + 4095) & ~4095ull;
  const auto place = [&at](AgentSection& section, std::uint64_t capacity, std::uint64_t bytes) {
    section = {at, capacity};
    at = (at + capacity * bytes + 4095) & ~4095ull;
  };
  auto& sections = plan.sections;
  place(sections.threads, settings.thread_records, sizeof(AgentThread));
  place(sections.thread_hash, 4096, 8);
  place(sections.scratch, settings.thread_records * memsnap::kAgentScratch, 1);
  place(sections.nodes, 1u << 22, sizeof(AgentNode));
  place(sections.counts, 1u << 22, sizeof(AgentCounts));
  place(sections.node_hash, 1u << 23, 4);
  place(sections.codes, 1u << 16, sizeof(AgentCode));
  place(sections.code_hash, 1u << 17, 4);
  place(sections.texts, 256u << 20, 1);
  place(sections.roots, memsnap::kRootCount, 4);
  place(sections.rules, settings.native ? 4u << 20 : 0, sizeof(memsnap::AgentRule));
  place(sections.rule_ranges, settings.native ? 1024 : 0, sizeof(memsnap::AgentRuleRange));
  place(sections.native_scratch, settings.native ? settings.thread_records * memsnap::kAgentNativeScratch : 0, 1);
  place(sections.leaves, 16384, memsnap::kLeafWords * 8);
  place(sections.patches, 4096, sizeof(memsnap::AgentPatch));
  // Not memsnap's name for them: a memsnap that cleans up after others would take it for a leftover.
  table_file = static_cast<int>(syscall(SYS_memfd_create, "agent-in-process", 1));
  if (table_file < 0 || ftruncate(table_file, static_cast<off_t>(at)) != 0) abort();
  void* const mapped = mmap(nullptr, at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, table_file, 0);
  if (mapped == MAP_FAILED) abort();
  madvise(mapped, at, MADV_DONTFORK);
  base = static_cast<char*>(mapped);
  header = static_cast<AgentHeader*>(mapped);
  *header = plan;
  header->magic = memsnap::kAgentMagic;
  header->abi = memsnap::kAgentAbiVersion;
  header->size = at;
  header->keeper_pid = static_cast<std::uint64_t>(getpid());
  header->period = settings.period;
  header->python_hex = settings.hex;
  void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) != 0) abort();
  control = static_cast<AgentControl*>(page);
  control->depth = settings.depth;
  control->lease_tsc = ~0ull;
}

void fill_functions(AgentConfig::Functions& to) {
  to = {.malloc = provided("malloc"),
        .free = provided("free"),
        .calloc = provided("calloc"),
        .realloc = provided("realloc"),
        .reallocarray = provided("reallocarray"),
        .posix_memalign = provided("posix_memalign"),
        .aligned_alloc = provided("aligned_alloc"),
        .memalign = provided("memalign"),
        .valloc = provided("valloc"),
        .pvalloc = provided("pvalloc"),
        .cfree = 0,
        .free_sized = 0,
        .free_aligned_sized = 0,
        .mmap = provided("mmap"),
        .mmap64 = provided("mmap64"),
        .munmap = provided("munmap"),
        .mremap = provided("mremap"),
        .dlopen = provided("dlopen"),
        .dlmopen = provided("dlmopen"),
        .new_plain = address_of("_Znwm"),
        .new_array = address_of("_Znam"),
        .new_nothrow = address_of("_ZnwmRKSt9nothrow_t"),
        .new_array_nothrow = address_of("_ZnamRKSt9nothrow_t"),
        .new_aligned = address_of("_ZnwmSt11align_val_t"),
        .new_array_aligned = address_of("_ZnamSt11align_val_t"),
        .delete_plain = address_of("_ZdlPv"),
        .delete_array = address_of("_ZdaPv"),
        .delete_sized = address_of("_ZdlPvm"),
        .delete_array_sized = address_of("_ZdaPvm"),
        .delete_aligned = address_of("_ZdlPvSt11align_val_t"),
        .delete_array_aligned = address_of("_ZdaPvSt11align_val_t"),
        .new_aligned_nothrow = address_of("_ZnwmSt11align_val_tRKSt9nothrow_t"),
        .new_array_aligned_nothrow = address_of("_ZnamSt11align_val_tRKSt9nothrow_t")};
}

void fill_config(AgentConfig& config) {
  config.shared = reinterpret_cast<std::uint64_t>(base);
  config.control = reinterpret_cast<std::uint64_t>(control);
  fill_functions(config.functions);
  const char* getter = "PyGILState_GetThisThreadState";
  if (settings.hex >= 0x030c0000) getter = "_PyThreadState_UncheckedGet";
  if (settings.hex >= 0x030d0000) getter = "PyThreadState_GetUnchecked";
  config.thread_state = address_of(getter);
  config.thread_state_released = address_of("PyGILState_GetThisThreadState");
  config.code_type = address_of("PyCode_Type");
  std::uint32_t tid = 0;
  constexpr std::uint64_t kTidOffset = 0x2d0;
  asm("movl %%fs:(%1), %0" : "=r"(tid) : "r"(kTidOffset));
  config.tid_offset = tid == static_cast<std::uint32_t>(syscall(SYS_gettid)) ? kTidOffset : 0;
  config.period = settings.period;
  config.native = settings.native ? 1 : 0;
  config.layout = memsnap::layout_for(settings.hex);
  config.finalizing = address_of("_PyRuntime") + config.layout.runtime.finalizing;
}

// The words of one loaded module that lead to a hooked function.
struct Patcher {
  std::map<std::string, std::uint64_t> hooks;
  std::uint64_t image = 0;
  std::uint64_t patched = 0;

  static int visit(dl_phdr_info* info, size_t /*size*/, void* data) {
    auto* const self = static_cast<Patcher*>(data);
    const std::string name = info->dlpi_name;
    for (const char* own : {"libc.so", "ld-linux", "linux-vdso", "memsnap_agent", "in_process", "counting"})
      if (name.find(own) != std::string::npos) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i)
      if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
        self->module(info->dlpi_addr, reinterpret_cast<ElfW(Dyn)*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr));
    return 0;
  }

  void module(std::uint64_t load, const ElfW(Dyn) * dynamic) {
    std::map<std::int64_t, std::uint64_t> tags;
    for (; dynamic->d_tag != DT_NULL; ++dynamic) tags[dynamic->d_tag] = dynamic->d_un.d_val;
    const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(tags[DT_SYMTAB]);
    const auto* names = reinterpret_cast<const char*>(tags[DT_STRTAB]);
    relocations(load, tags[DT_RELA], tags[DT_RELASZ], symbols, names);
    relocations(load, tags[DT_JMPREL], tags[DT_PLTRELSZ], symbols, names);
  }

  void relocations(std::uint64_t load, std::uint64_t at, std::uint64_t size, const ElfW(Sym) * symbols,
                   const char* names) {
    const auto* item = reinterpret_cast<const ElfW(Rela)*>(at);
    for (std::uint64_t i = 0; i < size / sizeof(*item); ++i, ++item) {
      const auto type = ELF64_R_TYPE(item->r_info);
      if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64) continue;
      const auto found = hooks.find(names + symbols[ELF64_R_SYM(item->r_info)].st_name);
      if (found == hooks.end()) continue;
      auto* const slot = reinterpret_cast<std::uint64_t*>(load + item->r_offset);
      mprotect(reinterpret_cast<void*>(reinterpret_cast<std::uint64_t>(slot) & ~4095ull), 4096, PROT_READ | PROT_WRITE);
      __atomic_store_n(slot, found->second, __ATOMIC_RELEASE);
      ++patched;
    }
  }
};

// What memsnap would do from outside: the rules of everything that is loaded, the loops, and where stacks are.
struct NativeMaker {
  std::uint64_t rows = 0;
  std::uint64_t loop = address_of("_PyEval_EvalFrameDefault");

  void add(std::uint64_t begin, std::uint64_t end, const std::vector<memsnap::AgentRule>& rules) {
    auto& native = header->native;
    if (rows + rules.size() > header->sections.rules.capacity || native.ranges == header->sections.rule_ranges.capacity) abort();
    std::memcpy(items<memsnap::AgentRule>(header->sections.rules) + rows, rules.data(), rules.size() * sizeof(rules[0]));
    items<memsnap::AgentRuleRange>(header->sections.rule_ranges)[native.ranges] = {begin, end, rows, rules.size()};
    rows += rules.size();
    ++native.ranges;
    ++native.version;
  }

  static int visit(dl_phdr_info* info, size_t /*size*/, void* data) {
    auto* const self = static_cast<NativeMaker*>(data);
    std::uint64_t lowest = ~0ull, highest = 0, table = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& program = info->dlpi_phdr[i];
      if (program.p_type == PT_GNU_EH_FRAME) table = info->dlpi_addr + program.p_vaddr;
      if (program.p_type != PT_LOAD) continue;
      lowest = std::min<std::uint64_t>(lowest, info->dlpi_addr + (program.p_vaddr & ~0xfffull));
      highest = std::max<std::uint64_t>(highest, info->dlpi_addr + program.p_vaddr + program.p_memsz);
    }
    if (table == 0) return 0;
    if (const auto config_at = reinterpret_cast<std::uint64_t>(header->native.main_low); config_at >= lowest && config_at < highest) {
      header->image_begin = lowest;
      header->image_end = highest;
    }
    std::uint64_t end = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& program = info->dlpi_phdr[i];
      const std::uint64_t begin = info->dlpi_addr + program.p_vaddr;
      if (program.p_type == PT_LOAD && table >= begin && table < begin + program.p_filesz) end = begin + program.p_filesz;
    }
    const std::uint64_t frame = table + 4 + static_cast<std::uint64_t>(std::int64_t{*reinterpret_cast<const std::int32_t*>(table + 4)});
    const auto compiled = memsnap::compile_unwind_rules(
        {.bytes = {reinterpret_cast<const std::byte*>(frame), end - frame}, .address = frame, .begin = lowest, .end = highest});
    self->add(lowest, highest, compiled.rows);
    for (const auto& function : compiled.functions)
      if (settings.hex < 0x030c0000 && self->loop >= function.begin && self->loop < function.end)
        header->native.loops[header->native.loop_count++] = function;
    return 0;
  }

  void run(void* image) {
    header->native.main_low = reinterpret_cast<std::uint64_t>(dlsym(image, "memsnap_malloc"));  // to find the image by
    dl_iterate_phdr(visit, this);
    // Some of the trees that interpreters are run in have no /proc.
    header->native.main_high = *reinterpret_cast<const std::uint64_t*>(address_of("__libc_stack_end"));
    header->native.main_low = header->native.main_high - (7u << 20);
    pthread_t thread{};
    if (pthread_create(&thread, nullptr, find_stack, nullptr) == 0) pthread_join(thread, nullptr);
  }

  static void* find_stack(void* /*nothing*/) {
    std::uint64_t self = 0;
    asm("movq %%fs:0, %0" : "=r"(self));
    for (std::uint32_t offset = 0x200; offset < 0xa00 && header->native.stack_offset == 0; offset += 8) {
      memsnap::ThreadStackBlock block{};
      std::memcpy(&block, reinterpret_cast<const void*>(self + offset), sizeof block);
      if (block.guard != 0 && block.holds(reinterpret_cast<std::uint64_t>(&block), self)) header->native.stack_offset = offset;
    }
    return nullptr;
  }
};

void hook_domain(void* image, int domain, const char* prefix, AgentConfig::Domain& real) {
  const auto get = reinterpret_cast<void (*)(int, Domain*)>(dlsym(RTLD_DEFAULT, "PyMem_GetAllocator"));
  const auto set = reinterpret_cast<void (*)(int, Domain*)>(dlsym(RTLD_DEFAULT, "PyMem_SetAllocator"));
  Domain now{};
  get(domain, &now);
  real = {now.malloc, now.calloc, now.realloc, now.free};
  const auto hook = [&](const char* name) {
    return reinterpret_cast<std::uint64_t>(dlsym(image, (std::string("memsnap_") + prefix + name).c_str()));
  };
  now = {now.context, hook("malloc"), hook("calloc"), hook("realloc"), hook("free")};
  set(domain, &now);
}

std::string utf8(const char* data, std::uint32_t length, std::uint8_t unit) {
  std::string text;
  for (std::uint32_t i = 0; i < length && unit != 0; ++i) {
    std::uint32_t c = 0;
    std::memcpy(&c, data + std::uint64_t{i} * unit, unit);
    if (c < 0x20 || c == '"' || c == '\\' || c >= 0x80) {
      char escaped[16];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c & 0xffff);
      text += escaped;
    } else {
      text += static_cast<char>(c);
    }
  }
  return text;
}

std::int32_t line_of(const AgentCode& code, std::uint64_t instruction) {
  const auto* const texts = items<char>(header->sections.texts) + code.text;
  const auto* const table = reinterpret_cast<const std::uint8_t*>(
      texts + std::uint64_t{code.file_length} * code.file_unit + std::uint64_t{code.name_length} * code.name_unit);
  using Form = memsnap::LineTableForm;
  auto form = Form::kLnotab;
  auto at = static_cast<std::int64_t>(instruction);
  if (settings.hex >= 0x030b0000) {
    form = Form::kLocations;
    at = static_cast<std::int64_t>(instruction - code.code_start);
  } else if (settings.hex >= 0x030a0000) {
    form = Form::kRanges;
    at *= 2;
  }
  return memsnap::line_of(form, {table, code.table_length}, code.first_line, at).value_or(-1);
}

void print_stack(FILE* out, std::uint32_t node) {
  const auto* const nodes = items<AgentNode>(header->sections.nodes);
  const auto* const codes = items<AgentCode>(header->sections.codes);
  bool first = true;
  std::fprintf(out, "[");
  for (; node != 0; node = nodes[node].parent) {
    const bool is_native = nodes[node].code == memsnap::kNodeNativeFrame;
    if (nodes[node].code >= memsnap::kNodeSpecial && nodes[node].code != memsnap::kNodeCut && !is_native) continue;
    if (is_native) {
      Dl_info found{};
      dladdr(reinterpret_cast<void*>(nodes[node].instruction - 1), &found);
      std::fprintf(out, "%s[\"native\", \"%s\", %lu]", first ? "" : ", ", found.dli_sname != nullptr ? found.dli_sname : "",
                   nodes[node].instruction);
    } else if (nodes[node].code == memsnap::kNodeCut) {
      std::fprintf(out, "%s[\"cut\", \"cut\", 0]", first ? "" : ", ");
    } else {
      const AgentCode& code = codes[nodes[node].code];
      const char* const text = items<char>(header->sections.texts) + code.text;
      std::fprintf(out, "%s[\"%s\", \"%s\", %d]", first ? "" : ", ", utf8(text, code.file_length, code.file_unit).c_str(),
                   utf8(text + std::uint64_t{code.file_length} * code.file_unit, code.name_length, code.name_unit).c_str(),
                   line_of(code, nodes[node].instruction));
    }
    first = false;
  }
  std::fprintf(out, "]");
}

struct Live {
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
};

std::map<std::uint32_t, Live> live_blocks() {
  std::map<std::uint32_t, Live> live;
  const auto* const roots = items<std::uint32_t>(header->sections.roots);
  const auto* const leaves = items<std::uint64_t>(header->sections.leaves);
  for (std::uint32_t root = 0; root < memsnap::kRootCount; ++root) {
    if (roots[root] == 0) continue;
    for (std::uint32_t i = 0; i < memsnap::kLeafWords; ++i) {
      const std::uint64_t word = leaves[std::uint64_t{roots[root]} * memsnap::kLeafWords + i];
      if (word == 0) continue;
      auto& at = live[memsnap::slot_site(word)];
      ++at.blocks;
      at.bytes += memsnap::slot_size(word);
    }
  }
  return live;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// Returns how many words were patched.
std::uint64_t in_process_start(const char* image_path, std::uint32_t hex, std::uint64_t period, int python_domains,
                               std::uint32_t depth, std::uint64_t thread_records, int native) {
  settings = {.period = period,
              .depth = depth,
              .hex = hex,
              .python_domains = python_domains != 0,
              .native = native != 0,
              .thread_records = thread_records};
  void* const image = dlopen(image_path, RTLD_NOW | RTLD_LOCAL);
  if (image == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    abort();
  }
  hook = reinterpret_cast<void* (*)(std::size_t)>(dlsym(image, "memsnap_malloc"));
  map_tables();
  auto& config = *static_cast<AgentConfig*>(dlsym(image, "memsnap_agent_config"));
  fill_config(config);
  if (settings.native) NativeMaker().run(image);
  Patcher patcher;
  for (const char* name : {"malloc", "free", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign",
                           "valloc", "pvalloc", "mmap", "mmap64", "munmap", "mremap", "dlopen", "dlmopen"})
    patcher.hooks[name] = reinterpret_cast<std::uint64_t>(dlsym(image, (std::string("memsnap_") + name).c_str()));
  dl_iterate_phdr(Patcher::visit, &patcher);
  if (settings.python_domains) {
    hook_domain(image, 1, "mem_", config.domain_mem);
    hook_domain(image, 2, "object_", config.domain_obj);
    header->allocators |= 1u << static_cast<unsigned>(Allocator::kPymallocMalloc);
  }
  return patcher.patched;
}

// With the counting library preloaded both begin and end together.
void in_process_record(int on) {
  const auto begin = reinterpret_cast<void (*)()>(address_of("counting_begin"));
  const auto end = reinterpret_cast<void (*)(std::uint64_t*)>(address_of("counting_end"));
  if (on != 0 && begin != nullptr) begin();
  __atomic_store_n(&control->mode, on != 0 ? 1u : 0u, __ATOMIC_SEQ_CST);
  if (on == 0 && end != nullptr) end(counted);
}

// Allocations, frees and bytes by the preloaded counting library.
std::uint64_t in_process_counted(int which) { return counted[which]; }

void in_process_lease(std::uint64_t tsc) { control->lease_tsc = tsc; }

int in_process_mode() { return static_cast<int>(control->mode); }

// Throws an exception through `depth` C++ functions, each of which calls back while it is unwound, and once it is caught.
void in_process_throw(int depth, void (*call)(int)) {
  struct Caller {
    int depth;
    void (*call)(int);
    ~Caller() { call(depth); }
  };
  struct Thrower {
    static void down(int depth, void (*call)(int)) {
      const Caller caller{depth, call};
      if (depth == 0) throw depth;
      down(depth - 1, call);
    }
  };
  try {
    Thrower::down(depth, call);
  } catch (int) {
    call(-1);
  }
}

// A block of this size, asked for on a stack that is none of a thread's: there is nothing readable around it.
void in_process_on_another_stack(std::size_t size) {
  constexpr std::size_t kStack = 64u << 10;
  static std::size_t wanted = 0;
  static ucontext_t here, there;
  wanted = size;
  auto* const memory = static_cast<char*>(mmap(nullptr, kStack + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (mprotect(memory + 4096, kStack, PROT_READ | PROT_WRITE) != 0 || getcontext(&there) != 0) abort();
  there.uc_stack = {.ss_sp = memory + 4096, .ss_flags = 0, .ss_size = kStack};
  there.uc_link = &here;
  makecontext(&there, [] { static_cast<char*>(hook(wanted))[0] = 1; }, 0);
  swapcontext(&here, &there);
  munmap(memory, kStack + 8192);
}

// The same on this stack, by functions whose frame pointer is not what their unwind tables say. Which: 0 to 10.
void in_process_with_wild_base(std::size_t size, int which) {
  const auto here = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0));
  const std::uint64_t high = header->native.main_high;
  const std::uint64_t bases[] = {0,        8,         ~7ull,    1ull << 63, here + 1, here - 64, reinterpret_cast<std::uint64_t>(base),
                                 high - 8, high - 16, high + 8, ~15ull};
  wild_base(size, bases[which], hook);
  wild_indirect(size, bases[which], hook);
}

// The same by a function that was called, says its frame pointer, by one of two others. Nothing else on the stack differs.
void in_process_with_two_callers(std::size_t size, int times) {
  const auto here = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0));
  const std::uint64_t frames[2][2] = {{here, reinterpret_cast<std::uint64_t>(caller_one)},
                                      {here, reinterpret_cast<std::uint64_t>(caller_two)}};
  hook_below = hook;
  for (int i = 0; i < times; ++i) wild_base(size, reinterpret_cast<std::uint64_t>(frames[i % 2]), saves_base);
}

// As if memsnap did not know yet where stacks are, or came to know it.
void in_process_stacks(int known) {
  if (header == nullptr) return;
  static std::uint64_t high = header->native.main_high;
  static std::uint32_t offset = header->native.stack_offset;
  header->native.main_high = known != 0 ? high : 0;
  header->native.stack_offset = known != 0 ? offset : 0;
}

// Bytes of memory that the tables hold. To be asked before the dump, which reads all of them.
std::uint64_t in_process_held() {
  struct stat status {};
  if (fstat(table_file, &status) != 0) abort();
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

void in_process_dump(const char* path) {
  in_process_record(0);
  FILE* const out = std::fopen(path, "w");
  if (out == nullptr) abort();
  const auto live = live_blocks();
  const auto* const nodes = items<AgentNode>(header->sections.nodes);
  const auto* const counts = items<AgentCounts>(header->sections.counts);
  const auto& lost = header->lost;
  std::fprintf(out, "{\"lost\": {\"no_room\": %lu, \"odd_address\": %lu, \"broken_stack\": %lu, \"mismatches\": %lu},\n "
               "\"native_cut\": %lu,\n",
               lost.no_room, lost.odd_address, lost.broken_stack, lost.mismatches, lost.native_cut);
  std::fprintf(out, " \"nodes\": %u, \"codes\": %u, \"leaves\": %u, \"dlopen_calls\": %lu, \"threads\": [", header->node_count,
               header->code_count, header->leaf_count, header->dlopen_calls);
  for (std::uint32_t i = 0; i <= header->thread_count; ++i) {
    const auto& thread = items<AgentThread>(header->sections.threads)[i];
    std::fprintf(out, "%s\n  {\"tid\": %u, \"allocations\": %lu, \"frees\": %lu, \"bytes\": %lu, \"by_allocator\": [", i ? "," : "",
                 thread.tid, thread.allocations, thread.frees, thread.bytes);
    for (std::uint32_t a = 0; a < static_cast<std::uint32_t>(memsnap::Allocator::kCount); ++a)
      std::fprintf(out, "%s[%lu, %lu]", a ? ", " : "", thread.by_allocator[a], thread.bytes_by_allocator[a]);
    std::fprintf(out, "]}");
  }
  std::fprintf(out, "],\n \"sites\": [");
  bool first = true;
  for (std::uint32_t node = 1; node <= header->node_count; ++node) {
    if (nodes[node].code != memsnap::kNodeAllocator) continue;
    const auto found = live.find(node);
    const Live now = found == live.end() ? Live{} : found->second;
    std::fprintf(out,
                 "%s\n  {\"allocator\": %lu, \"count\": %.8g, \"bytes\": %lu, \"samples\": %lu, \"temporary\": %.8g, "
                 "\"live_blocks\": %lu, \"live_bytes\": %lu, \"stack\": ",
                 first ? "" : ",", nodes[node].instruction, static_cast<double>(counts[node].count) / 256, counts[node].bytes,
                 counts[node].samples, static_cast<double>(counts[node].temporary) / 256, now.blocks, now.bytes);
    print_stack(out, node);
    std::fprintf(out, "}");
    first = false;
  }
  std::fprintf(out, "\n]}\n");
  std::fclose(out);
}

}  // extern "C"
#pragma GCC visibility pop
