#pragma once
// A shipped experiment's model, clips for it, and what a loss on all its outputs gives.

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/experiment.h"
#include "launcher/model/vis_model.h"

namespace tessera::test_support {

/// 2 clips, the second padded on two sides.
inline ClipBatch generated_clips(int64_t frames) {
  ClipBatch batch;
  batch.frames = at::randn({2, frames, 3, 64, 96});
  batch.padding_mask = at::zeros({2, frames, 64, 96}, at::kBool);
  batch.padding_mask.select(0, 1).narrow(2, 80, 16).fill_(true);
  batch.padding_mask.select(0, 1).narrow(1, 56, 8).fill_(true);
  batch.meta.resize(2);
  for (ClipMeta& meta : batch.meta) {
    meta.height = meta.original_height = 64;
    meta.width = meta.original_width = 96;
  }
  return batch;
}

/// Relative difference in the 2-norm.
inline double difference(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm().clamp_min(1e-12)).item<double>();
}

/// A shipped experiment's model with weights drawn for the test.
struct Composed {
  explicit Composed(const std::string& name, const std::vector<std::string>& overrides = {})
      : experiment(load_experiment(
            std::filesystem::path(TESSERA_SOURCE_DIR) / "experiments" / (name + ".toml"), overrides,
            registry)),
        model((at::manual_seed(4), experiment.model), experiment.clip_facts()),
        batch(generated_clips(experiment.data.num_frames)) {
    model.eval();
  }
  Registry registry{Registry::default_search_paths()};
  Experiment experiment;
  VisModel model;
  ClipBatch batch;
};

/// Of everything that a loss may look at, in the context's type: the gradient of each parameter.
inline std::vector<at::Tensor> gradients(VisModel& model, const ClipBatch& batch,
                                         const ForwardContext& context) {
  model.zero_grad();
  const VisModel::Output output = model.forward(batch, context);
  const LayerPrediction& last = output.last().predictions.last();
  at::Tensor loss =
      last.classes.logits.square().mean() + last.masks->logits(1, at::arange(2)).mean();
  if (last.boxes.defined()) loss = loss + last.boxes.square().mean();
  loss.backward();
  std::vector<at::Tensor> found;
  for (const at::Tensor& parameter : model.parameters())
    found.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::Tensor());
  return found;
}

}  // namespace tessera::test_support
