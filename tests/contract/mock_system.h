#pragma once
// A mock system of tests/fixtures/mocks, composed, with clips to train it on.

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "core/losses/criterion.h"
#include "launcher/experiment.h"
#include "launcher/model/criterion_stages.h"
#include "launcher/model/noise_clip.h"
#include "launcher/model/vis_model.h"
#include "launcher/training/optimiser.h"
#include "tests/fixtures/mocks/mocks.h"

namespace tessera::test_support {

inline Registry registry_with_mocks() {
  Registry registry(Registry::default_search_paths());
  mocks::add_all(registry);
  return registry;
}

/// An experiment of tests/fixtures/mocks.
inline Experiment mock_experiment(const std::string& name, Registry& registry,
                                  const std::vector<std::string>& overrides = {}) {
  return load_experiment(
      std::string(TESSERA_SOURCE_DIR) + "/tests/fixtures/mocks/" + name + ".toml", overrides,
      registry);
}

struct MockSystem {
  /// Weights are drawn with `seed`.
  explicit MockSystem(const std::string& name, const std::vector<std::string>& overrides = {},
                      uint64_t seed = 4)
      : registry(registry_with_mocks()),
        experiment(mock_experiment(name, registry, overrides)),
        model((at::manual_seed(seed), experiment.model), experiment.clip_facts()),
        criterion(experiment.loss, model.facts(), criterion_stages(model)),
        batch(noise_clip({experiment.data.num_frames, 32, 64}, 8, 2)),
        targets(moving_targets(batch, 2, experiment.data.num_categories)) {
    batch.mean = at::full({3}, 0.45);
    batch.deviation = at::full({3}, 0.22);
    // The second object of the first clip comes into sight in frame 1.
    ClipTargets& first = targets.at(0);
    for (at::Tensor* tensor : {&first.valid, &first.masks, &first.boxes}) {
      *tensor = tensor->clone();
      tensor->select(0, 1).select(0, 0).zero_();
    }
    freeze_parts(model, experiment.train);
    model.train();
  }

  CriterionResult losses(const VisModel::Output& output, const ForwardContext& context = {}) {
    return criterion.forward({output.memory, output.stages, targets, context, &batch});
  }
  /// A forward pass of training, its losses and gradients.
  CriterionResult train_step(const ForwardContext& context = {}) {
    model.zero_grad();
    at::manual_seed(7);
    const VisModel::Output output = model.forward(batch, context);
    CriterionResult result = losses(output, context);
    result.total.backward();
    return result;
  }

  Registry registry;
  Experiment experiment;
  VisModel model;
  Criterion criterion;
  ClipBatch batch;
  Targets targets;
};

/// Whether all tensors of two outputs are equal, masks of all rows included.
inline void expect_same_output(const StageOutput& a, const StageOutput& b, double tolerance = 0) {
  const auto expect_same = [tolerance](const at::Tensor& x, const at::Tensor& y, const char* what) {
    ASSERT_EQ(x.defined(), y.defined()) << what;
    if (!x.defined()) return;
    ASSERT_EQ(x.sizes(), y.sizes()) << what;
    EXPECT_TRUE(at::allclose(x, y, tolerance, tolerance)) << what;
  };
  ASSERT_EQ(a.predictions.layers.size(), b.predictions.layers.size());
  for (size_t i = 0; i < a.predictions.layers.size(); ++i) {
    const LayerPrediction &of_a = a.predictions.layers[i], &of_b = b.predictions.layers[i];
    expect_same(a.embeddings.layers[i].clip, b.embeddings.layers[i].clip, "clip");
    expect_same(a.embeddings.layers[i].frame, b.embeddings.layers[i].frame, "frame");
    expect_same(of_a.classes.logits, of_b.classes.logits, "classes");
    expect_same(of_a.boxes, of_b.boxes, "boxes");
    expect_same(of_a.identity, of_b.identity, "identity");
    const at::Tensor rows = at::arange(of_a.classes.logits.size(-2));
    expect_same(of_a.masks->logits(0, rows), of_b.masks->logits(0, rows), "masks");
  }
}

}  // namespace tessera::test_support
