#pragma once

#include <vector>

#include "core/structures/predictions.h"

namespace tessera {

/// What a stage is matched on while an earlier one guides it: the guide's last layer over the
/// stage's pieces, with the rows in the order of the stage's own (InstanceLayer::row_before of all
/// stages between them; a stage without it keeps the order). Several rows may continue one. Where
/// the guide's pieces have several frames, the rows are those of a piece's first frame.
/// in: `guide` < `stage`, indices of `stages`; T of the clips. Throws ConfigError where the stages
/// do not fit together.
LayerPrediction guided_prediction(const std::vector<StageOutput>& stages, size_t guide,
                                  size_t stage, int64_t num_frames);

}  // namespace tessera
