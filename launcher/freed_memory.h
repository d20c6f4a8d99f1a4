#pragma once

namespace tessera {

/// Has the allocator keep memory that is freed. Every step allocates and frees the same tensors of
/// some MiB; by default glibc maps and unmaps their pages each time, and the kernel clears them
/// each time: a sixth of a small model's step. (tcmalloc, which `tessera` but for `score` is linked
/// with, keeps it without being told, and wastes less between blocks.)
void keep_freed_memory();

/// Gives it back to the system.
void release_freed_memory();

}  // namespace tessera
