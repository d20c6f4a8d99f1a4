#pragma once

#include <vector>

#include "core/losses/stage_criterion.h"
#include "launcher/model/vis_model.h"

namespace tessera {

/// What a Criterion is told of a model's stages.
inline std::vector<StageFacts> criterion_stages(const VisModel& model) {
  std::vector<StageFacts> stages;
  for (size_t i = 0; i < model.num_stages(); ++i)
    stages.push_back({model.stage_name(i), model.stage_spec(i)});
  return stages;
}

}  // namespace tessera
