#include "launcher/freed_memory.h"

#include <cstdlib>  // says whether this is glibc

#if defined(TESSERA_TCMALLOC)
#include <gperftools/malloc_extension_c.h>
#elif defined(__GLIBC__)
#include <malloc.h>
#endif

namespace tessera {

void keep_freed_memory() {
#if !defined(TESSERA_TCMALLOC) && defined(__GLIBC__)
  constexpr int kMiB = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, 32 * kMiB);  // the largest that glibc takes
  mallopt(M_TRIM_THRESHOLD, 512 * kMiB);
  mallopt(M_TOP_PAD, 64 * kMiB);
#endif
}

void release_freed_memory() {
#if defined(TESSERA_TCMALLOC)
  MallocExtension_ReleaseFreeMemory();
#elif defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace tessera
