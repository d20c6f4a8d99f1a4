#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/export.h"

namespace tessera {

/// Minimum-cost assignment of min(rows, columns) pairs of a dense matrix: shortest augmenting
/// paths with potentials (Jonker and Volgenant 1987), O(min^2 * max).
/// in: cost [rows, columns] row-major, finite. out: (row, column) pairs sorted by row.
/// Throws RuntimeError on a cost that is not finite.
TESSERA_API std::vector<std::pair<int64_t, int64_t>> assign_minimum_cost(const double* cost,
                                                                         int64_t rows,
                                                                         int64_t columns);

}  // namespace tessera
