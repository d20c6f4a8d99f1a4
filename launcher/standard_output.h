#pragma once

namespace tessera {

/// Takes the descriptors 0, 1 and 2 if the program was started without them (`>&-`): otherwise the
/// next file that is opened would get one of them, and what is printed would go into that file.
/// Reading from or writing to one that was missing fails.
void hold_standard_descriptors();

/// Writes out what was printed. Throws RuntimeError if any of it could not be written, now or
/// before: standard output is closed, or its disk is full.
void flush_standard_output();

}  // namespace tessera
