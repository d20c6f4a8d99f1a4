#pragma once

#include <memory>

#include "core/interfaces/mask_head.h"

namespace tessera {

/// Masks whose activations are computed a second time in backward instead of being kept, those of
/// `rows_at_a_time` instances after one another (0: of all that are asked for), so that no more
/// than so many instances' activations exist at once. What mask_head prepares for a batch is
/// prepared anew each time. Masks that are asked for without gradients (by a matcher) come from one
/// preparation. `pyramid`, `memory` and `context` as for MaskHead::prepare().
std::shared_ptr<const PreparedMasks> recomputed(std::shared_ptr<MaskHead> mask_head,
                                                const FeaturePyramid& pyramid, const Memory& memory,
                                                const ForwardContext& context,
                                                int64_t rows_at_a_time);

}  // namespace tessera
