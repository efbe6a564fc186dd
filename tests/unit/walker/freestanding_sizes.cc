// Sizes as the walker inside a frozen child has them: nothing may be called, nothing may need relocation.
#include "inject/walker/object_size.h"

namespace memsnap::walker {
namespace {

struct OwnMemory {
  template <class T>
  bool read(std::uint64_t address, T* out) const {
    *out = *reinterpret_cast<const T*>(address);
    return true;
  }
};

}  // namespace

extern "C" std::uint64_t memsnap_test_size(const HeapLayout* layout, const TypeRecord* type, std::uint64_t object) {
  std::uint64_t size = 0;
  return object_size(OwnMemory{}, *layout, *type, object, &size) ? size : 0;
}

}  // namespace memsnap::walker
