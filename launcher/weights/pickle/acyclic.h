#pragma once

#include <string>

#include "launcher/weights/pickle/value.h"

namespace tessera::pickle {

/// Throws DataError if a value, reached from the root, holds itself, or if values are nested more
/// than `most_nested` deep. References of inert objects are not followed here, and nothing after
/// this may follow them: configuration trees often hold their parents. All others may be followed
/// without a guard.
void check_acyclic(const Pickle& pickle, size_t most_nested, const std::string& file);

}  // namespace tessera::pickle
