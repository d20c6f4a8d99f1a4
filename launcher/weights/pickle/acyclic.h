#pragma once

#include <string>

#include "launcher/weights/pickle/value.h"

namespace tessera::pickle {

/// Throws DataError where a value, reached from the root, holds itself, or where values are nested
/// more than `most_nested` deep: everything after this may follow references without a guard.
void check_acyclic(const Pickle& pickle, size_t most_nested, const std::string& file);

}  // namespace tessera::pickle
