#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/interfaces/attention.h"
#include "launcher/inference/select_tracks.h"

namespace tessera {

/// Where the queries of one decoder layer looked, for one clip, on the CPU.
struct LookedAt {
  std::string attention;            // its name in the model
  int64_t num_frames = 0;           // T, filling included
  std::vector<MemoryLevel> levels;  // of the memory that was read
  int64_t tokens = 0;               // S of a frame: cells of all levels, then those without a place
  bool per_frame = false;           // every frame has queries that look at that frame alone
  at::Tensor locations;             // [G,Lq,M,P,2|3] as AttentionSampling's, or undefined
  at::Tensor weights;               // [G,Lq,M,P], or dense, mean over heads, [G,Lq,keys]
};

/// Keeps what the last cross-attention of a stage's decoder says, or that of one layer.
class CrossAttentionRecorder final : public AttentionRecorder {
 public:
  /// in: name of the stage; empty: the first.
  CrossAttentionRecorder(std::optional<int64_t> layer, const std::string& stage);
  /// Clip `clip` of a batch of `num_clips` is kept from now on; its first frame if frames go apart.
  void watch_clip(int64_t clip, int64_t num_clips) {
    clip_ = clip;
    num_clips_ = num_clips;
  }
  bool wants(const std::string& name) const override;
  void record(const std::string& name, const AttentionInput& input,
              const AttentionSampling& sampling) override;
  /// Throws ConfigError where no such layer ran, or its attention cannot tell.
  LookedAt finish() const;

 private:
  std::optional<int64_t> layer_;
  std::string prefix_;  // of the names of the decoder's layers
  int64_t clip_ = 0, num_clips_ = 1;
  LookedAt kept_;
};

/// One window of a video, for pictures of where the queries of its tracks looked.
struct ExplainedWindow {
  // Asked for.
  int64_t index = 0;             // which of the video's windows, the last where there are fewer
  std::optional<int64_t> layer;  // of the decoder; the last without it
  std::string stage = {};        // its stage; empty: the first
  // Answered.
  int64_t start = 0, length = 0;  // frames of the video
  LookedAt looked = {};
  FrameGeometry geometry = {};
  int64_t num_queries = 0;                   // Q
  std::vector<int64_t> track_of_query = {};  // [Q] id of the track, -1 = not kept
};

}  // namespace tessera
