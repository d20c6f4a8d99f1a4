#pragma once

#include <array>
#include <cstdint>

#include "core/export.h"

namespace tessera {

/// Where head `head` of a deformable attention looks before it has learnt anything: (x, y) on the
/// square around the origin with sides of 2, heads evenly around it (Deformable DETR, Zhu et al.
/// 2021, A.4). Point k begins at k + 1 times that, in cells.
TESSERA_API std::array<double, 2> head_direction(int64_t head, int64_t num_heads);

}  // namespace tessera
