#pragma once

#include <vector>

#include "launcher/model/model_stage.h"

namespace tessera {

/// The parts that stages read from.
struct StageSources {
  const ModelOptions& options;
  const Backbone& backbone;
  const Encoder& encoder;
  int64_t num_frames = 0;  // of a training clip
};

/// Throws ConfigError, naming both parts, where a stage reads what another part does not give.
/// `earlier`: all stages before it, first to last.
void expect_composable(const ModelStage& stage, const StageSources& sources,
                       const std::vector<const ModelStage*>& earlier);

/// Joins what parts need of clips.
class JoinedNeeds {
 public:
  /// A part that sees clips of `seen_frames` frames; whole clips if `is_whole`: the number of
  /// frames that a part of pieces or of frames apart works for is none that clips must have.
  void add(const ClipNeeds& needs, const std::string& part, bool is_whole, int64_t seen_frames);
  const ClipNeeds& joined() const { return joined_; }

 private:
  ClipNeeds joined_;
};

}  // namespace tessera
