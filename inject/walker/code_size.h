#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/protocol/walker_abi.h"
#include "inject/walker/size_sum.h"

namespace memsnap::walker {

template <class Memory>
bool add_code_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  const auto& code = layout.code;
  const std::uint64_t size_at = layout.object.ob_size;
  std::uint64_t extra = 0;
  if (!memory.read(object + code.co_extra, &extra)) return false;
  if (extra != 0) {
    std::int64_t count = 0;
    if (!memory.read(extra, &count)) return false;
    sum.add(8);
    sum.add_signed(count, 8);
  }
  if (code.co_cell2arg != 0) {
    std::uint64_t map = 0;
    std::uint64_t cells = 0;
    std::int64_t count = 0;
    if (!memory.read(object + code.co_cell2arg, &map) || !memory.read(object + code.co_cellvars, &cells)) return false;
    if (map != 0 && cells != 0) {
      if (!memory.read(cells + size_at, &count)) return false;
      sum.add_signed(count, 8);
    }
  }
  if (code.co_opcache != 0) {
    constexpr std::uint64_t kCacheEntry = 32;
    std::uint64_t cache = 0;
    std::uint64_t bytecode = 0;
    std::uint8_t entries = 0;
    std::int64_t length = 0;
    if (!memory.read(object + code.co_opcache, &cache)) return false;
    if (cache != 0) {
      if (!memory.read(object + code.co_code, &bytecode) || !memory.read(bytecode + size_at, &length) ||
          !memory.read(object + layout.sizes.code_opcache_size, &entries)) {
        return false;
      }
      sum.add_signed(length / 2, 1);
      sum.add(entries, kCacheEntry);
    }
  }
  return true;
}

// Locals and evaluation stack of a frame that runs `code` (3.11+).
template <class Memory>
bool add_frame_slots(const Memory& memory, const HeapLayout& layout, std::uint64_t code, SizeSum& sum) {
  std::int32_t locals = 0;
  std::int32_t stack = 0;
  if (!memory.read(code + layout.code.co_nlocalsplus, &locals) ||
      !memory.read(code + layout.code.co_stacksize, &stack)) {
    return false;
  }
  sum.add_signed(locals, 8);
  sum.add_signed(stack, 8);
  return true;
}

template <class Memory>
bool frame_code(const Memory& memory, const HeapLayout& layout, std::uint64_t frame, std::uint64_t* code) {
  if (!memory.read(frame + layout.frame.executable, code)) return false;
  *code &= ~static_cast<std::uint64_t>(layout.frame.tag_mask);
  return true;
}

template <class Memory>
bool frame_size(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  const auto& at = layout.frame_object;
  std::uint64_t code = 0;
  if (layout.frame.size != 0) {
    std::uint64_t frame = 0;
    if (!memory.read(object + at.f_frame, &frame) || !frame_code(memory, layout, frame, &code)) return false;
    sum.add(at.f_frame_data);
    sum.add(layout.frame.localsplus);
    return add_frame_slots(memory, layout, code, sum);
  }
  std::uint64_t cells = 0;
  std::uint64_t free_variables = 0;
  std::int64_t cell_count = 0;
  std::int64_t free_count = 0;
  std::int32_t locals = 0;
  std::int32_t stack = 0;
  if (!memory.read(object + at.f_code, &code) || !memory.read(code + layout.code.co_cellvars, &cells) ||
      !memory.read(code + layout.code.co_freevars, &free_variables) ||
      !memory.read(cells + layout.object.ob_size, &cell_count) ||
      !memory.read(free_variables + layout.object.ob_size, &free_count) ||
      !memory.read(code + layout.code.co_nlocals, &locals) || !memory.read(code + layout.code.co_stacksize, &stack)) {
    return false;
  }
  sum.add(at.f_localsplus);  // the struct has room for one item, which is not counted twice
  sum.add_signed(cell_count, 8);
  sum.add_signed(free_count, 8);
  sum.add_signed(locals, 8);
  sum.add_signed(stack, 8);
  return true;
}

template <class Memory>
bool generator_size(const Memory& memory, const HeapLayout& layout, const TypeRecord& type, std::uint64_t object,
                    SizeSum& sum) {
  const auto& at = layout.generator;
  if (layout.frame.size == 0) {
    sum.add(type.basic_size);
    return true;
  }
  std::uint64_t code = 0;
  if (at.code != 0) {
    if (!memory.read(object + at.code, &code)) return false;
  } else if (!frame_code(memory, layout, object + at.frame, &code)) {
    return false;
  }
  sum.add(at.frame);
  sum.add(layout.frame.localsplus);
  return add_frame_slots(memory, layout, code, sum);
}

}  // namespace memsnap::walker
