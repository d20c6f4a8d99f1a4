#pragma once

namespace tessera {

/// Has the C library keep memory that is freed. Every step allocates and frees the same tensors of
/// some MiB; by default glibc maps and unmaps their pages each time, and the kernel clears them
/// each time: a sixth of a small model's step.
void keep_freed_memory();

}  // namespace tessera
