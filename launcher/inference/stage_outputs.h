#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/structures/predictions.h"

namespace tessera {

/// Pieces of each clip of `num_frames` frames: predictions of the stage are over them.
int64_t num_pieces(const StageOutput& output, int64_t num_frames);

/// What a stage found in one clip of a batch, with B = 1; masks stay lazy.
StageOutput clip_of(const StageOutput& output, int64_t clip, int64_t num_frames);

/// The last layer's classes of one clip, frame by frame: [1,T,Q,C].
ClassLogits frame_classes(const StageOutput& output, int64_t clip, int64_t num_frames);

/// The row of stage `from` that each row of the last stage continues in each frame of one clip, by
/// InstanceLayer::row_before. out: [T,Q] int64, or undefined where rows are the same.
/// in: stages, first to last. Throws ConfigError if stages between have other numbers of rows and
/// none tells which row is which.
at::Tensor rows_in_stage(const std::vector<StageOutput>& stages, size_t from, int64_t clip);

/// What a stage found in neighbouring windows as if it had found it in all their frames: embeddings
/// of all frames, the last layer's predictions over all pieces, without masks. Where a window is
/// one prediction, classes and boxes are given frame by frame. in: windows with B = 1, of these
/// lengths. Throws ConfigError naming the stage if it gives one embedding for the clip and there
/// are several windows.
StageOutput joined(const std::vector<const StageOutput*>& windows,
                   const std::vector<int64_t>& lengths, const std::string& stage);

}  // namespace tessera
