// The contracts carry all five systems: each row of the design's table is composed from plain TOML,
// with mock parts where the system's own do not exist yet, and trained for a step.

#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include "core/config/toml_reader.h"
#include "core/losses/criterion.h"
#include "launcher/model/vis_model.h"
#include "tests/contract/mock_parts.h"

namespace tessera {
namespace {

constexpr int64_t kFrames = 2, kCategories = 3;

struct System {
  ModelOptions model;
  CriterionOptions loss;
  static void describe(Schema<System>& schema) {
    schema.field("model", &System::model, "The parts.");
    schema.field("loss", &System::loss, "The loss.");
  }
};

const std::string kTransformer =
    "plugin = \"transformer\", dim = 64, num_layers = 1, feed_forward_dim = 32, "
    "position = { kind = \"2d\" }, ";
const std::string kDeformable =
    "attention = { plugin = \"st_deformable\", num_heads = 4, num_points = 2 }";
const std::string kDense = "attention = { plugin = \"dense\", num_heads = 4 }";
const std::string kQueries =
    "plugin = \"transformer\", num_layers = 2, num_queries = 4, feed_forward_dim = 32, "
    "self_attention = { plugin = \"dense\", num_heads = 4 }, ";
const std::string kLevels = "feature_levels = [3, 2, 1], ";
const std::string kPerFrame = "queries = \"per_frame\", ", kPerClip = "queries = \"per_clip\", ";

std::string experiment(const std::string& encoder, const std::string& decoder,
                       const std::string& instance_head, const std::string& mask_head,
                       const std::string& matcher) {
  return "[model]\nbackbone = \"mock_pooled_pyramid\"\nencoder = { " + encoder +
         " }\ndecoder = { " + decoder + " }\ninstance_head = { plugin = \"class_box\"" +
         instance_head + " }\nmask_head = { " + mask_head + " }\n[loss]\nmatcher = { " + matcher +
         " }\n[loss.terms]\n" +
         (instance_head.find("sigmoid") == std::string::npos
              ? "class = { plugin = \"class_cross_entropy\" }\n"
              : "class = { plugin = \"class_focal\" }\n") +
         "box = { plugin = \"box_l1\", weight = 5 }\nmask = { plugin = \"mask_focal\", layers = "
         "\"last\" }\n";
}

struct Row {
  const char* name;
  std::string toml;
  int64_t layers;
};

std::vector<Row> rows() {
  const std::string vistr_masks = "plugin = \"mock_dot_product\"";
  const std::string sequence = "plugin = \"sequence\"";
  return {
      {"VisTR",
       experiment(kTransformer + kDense,
                  kQueries + kPerFrame + "cross_attention = { plugin = \"dense\", num_heads = 4 }",
                  "", vistr_masks, sequence),
       2},
      {"DeformableVisTR",
       experiment(
           kTransformer + kDeformable,
           kQueries + kPerFrame +
               "cross_attention = { plugin = \"st_deformable\", num_heads = 4, num_points = 2 }",
           "", vistr_masks, sequence),
       2},
      {"SimVTR",
       experiment(kTransformer + kDense,
                  kQueries + kPerClip + "cross_attention = { plugin = \"dense\", num_heads = 4 }",
                  "", vistr_masks, sequence),
       2},
      {"MsStsVis",
       experiment(kTransformer + kLevels +
                      "attention = [{ plugin = \"mock_multi_scale\" }, { plugin = "
                      "\"mock_split_scales\" }]",
                  "plugin = \"mock_boxes\", cross_attention = { plugin = \"mock_multi_scale\", "
                  "reference_dim = 4 }, "
                  "temporal_attention = { plugin = \"dense\", num_heads = 4 }",
                  ", activation = \"sigmoid\", per_layer = true",
                  "plugin = \"mock_dot_product\", box_prior = true",
                  "plugin = \"sequence\", class_cost = \"focal\", box_giou_weight = 2"),
       2},
      {"Mask2FormerVis",
       experiment("plugin = \"pixel_decoder\", norm_groups = 8, channels = 16, tokens = { " +
                      kTransformer + kLevels +
                      "attention = { plugin = \"ms_deformable\", num_heads = 4, num_points = 2 } }",
                  "plugin = \"masked_transformer\", num_layers = 3, num_queries = 4, "
                  "feed_forward_dim = 32",
                  "", "plugin = \"dot_product\", features = \"encoder\", position = false",
                  "plugin = \"sequence\", mask_bce_weight = 5, num_points = 16"),
       4}};
}

ClipBatch make_batch() {
  at::manual_seed(3);
  ClipBatch batch;
  batch.frames = at::randn({2, kFrames, 3, 64, 96});
  batch.padding_mask = at::zeros({2, kFrames, 64, 96}, at::kBool);
  batch.padding_mask.select(0, 1).narrow(2, 64, 32).fill_(true);
  batch.meta.resize(2);
  return batch;
}

Targets make_targets() {
  Targets targets;
  for (int64_t instances : {2, 1}) {
    ClipTargets target;
    target.labels = at::arange(instances);
    target.boxes = at::rand({instances, kFrames, 4}) * 0.4 + 0.3;
    target.valid = at::ones({instances, kFrames}, at::kBool);
    target.masks = at::rand({instances, kFrames, 64, 96}) > 0.05;  // unlike an untrained prediction
    target.height = 64;
    target.width = 96;
    targets.push_back(target);
  }
  return targets;
}

class SeededPoints final : public PointSource {
 public:
  at::Tensor uniform(const std::string& use, int64_t count, int64_t num_points) override {
    uses.push_back(use);
    return at::rand({count, num_points, 2});
  }
  std::vector<std::string> uses;
};

class FiveSystems : public testing::TestWithParam<size_t> {
 protected:
  FiveSystems() : registry_(Registry::default_search_paths()) {
    mock::add_all(registry_);
    row_ = rows()[GetParam()];
    ReadContext context(&registry_);
    schema_of<System>().read(&system_, parse_toml(row_.toml, row_.name), "", context);
    context.throw_if_failed();
    at::manual_seed(1);
    model_ = std::make_shared<VisModel>(system_.model, ClipFacts{kFrames, kCategories});
    build_ = model_->facts();
    criterion_ = std::make_shared<Criterion>(system_.loss, build_);
    context_.points = &points_;
  }

  Registry registry_;
  Row row_;
  System system_;
  std::shared_ptr<VisModel> model_;
  BuildContext build_;
  std::shared_ptr<Criterion> criterion_;
  SeededPoints points_;
  ForwardContext context_;
};

TEST_P(FiveSystems, TrainsAStepFromPlainToml) {
  torch::optim::Adam optimiser(model_->parameters(), torch::optim::AdamOptions(1e-2));
  const ClipBatch batch = make_batch();
  const Targets targets = make_targets();
  double first = 0.0, last = 0.0;
  for (int step = 0; step < 8; ++step) {
    optimiser.zero_grad();
    at::manual_seed(5);  // the same points, so that losses compare
    const VisModel::Output output = model_->forward(batch, context_);
    ASSERT_EQ(static_cast<int64_t>(output.last().predictions.layers.size()), row_.layers);
    const CriterionResult result =
        criterion_->forward(output.memory, output.last().predictions, targets, context_);
    result.total.backward();
    optimiser.step();
    last = result.total.item<double>();
    ASSERT_TRUE(std::isfinite(last));
    if (step == 0) first = last;
  }
  EXPECT_LT(last, first);
}

TEST_P(FiveSystems, GivesMasksForChosenRowsAndAtPoints) {
  at::NoGradGuard no_grad;
  const VisModel::Output output = model_->forward(make_batch(), context_);
  const MaskSource& masks = *output.last().predictions.last().masks;
  const at::Tensor all = masks.logits(1, at::arange(4)),
                   some = masks.logits(1, at::tensor({int64_t{3}, int64_t{1}}));
  EXPECT_TRUE(
      at::allclose(some, all.index_select(0, at::tensor({int64_t{3}, int64_t{1}})), 1e-4, 1e-5));
  EXPECT_EQ(masks.logits_at(0, at::tensor({int64_t{2}}), at::rand({1, kFrames, 5, 2})).sizes(),
            at::IntArrayRef({1, kFrames, 5}));
}

TEST_P(FiveSystems, TrainsAnAuxiliaryWithItsOwnOptimiser) {
  PluginOf<Auxiliary> choice{"mock_discriminator"};
  choice.descriptor = &registry_.find("auxiliary", "mock_discriminator");
  choice.options = choice.descriptor->make_options();
  const auto auxiliary = build_.make(choice);
  torch::optim::Adam own(auxiliary->parameters(), torch::optim::AdamOptions(0.02));
  const ClipBatch batch = make_batch();
  const Targets targets = make_targets();
  double first = 0.0, last = 0.0;
  for (int step = 0; step < 30; ++step) {
    model_->zero_grad();
    own.zero_grad();
    const VisModel::Output output = model_->forward(batch, context_);
    const CriterionResult result =
        criterion_->forward(output.memory, output.last().predictions, targets, context_);
    const AuxiliaryInput input{batch,         output.pyramid,
                               output.memory, output.last().predictions,
                               targets,       result.matches.back()};
    at::Tensor total = result.total;
    for (const NamedLoss& loss : auxiliary->model_losses(input, context_))
      total = total + loss.weight * loss.value;
    total.backward();
    for (const auto& parameter : auxiliary->parameters())
      EXPECT_FALSE(parameter.grad().defined()) << "the model's backward reached the auxiliary";
    std::map<std::string, at::Tensor> before;
    for (const auto& item : model_->named_parameters())
      if (item.value().grad().defined()) before[item.key()] = item.value().grad().clone();
    const NamedLoss loss = auxiliary->own_losses(input, context_).at(0);
    loss.value.backward();
    for (const auto& [name, gradient] : before)
      EXPECT_TRUE(at::equal(gradient, model_->named_parameters()[name].grad())) << name;
    own.step();
    last = loss.value.item<double>();
    if (step == 0) first = last;
  }
  EXPECT_LT(last, first);
}

TEST_P(FiveSystems, ComputesMasksOfMatchedRowsOnly) {
  if (row_.toml.find("masked_transformer") != std::string::npos)
    GTEST_SKIP() << "its decoder asks for every mask of every layer";
  auto masks =
      std::dynamic_pointer_cast<mock::DotProductMasks>(model_->named_children()["mask_head"]);
  ASSERT_TRUE(masks);
  const VisModel::Output output = model_->forward(make_batch(), context_);
  EXPECT_EQ(*masks->rows_computed, 0);
  criterion_->forward(output.memory, output.last().predictions, make_targets(), context_);
  EXPECT_EQ(*masks->rows_computed, 3);  // the instances of two clips, last layer only
}

INSTANTIATE_TEST_SUITE_P(Systems, FiveSystems, testing::Range(size_t{0}, size_t{5}),
                         [](const auto& info) { return std::string(rows()[info.param].name); });

}  // namespace
}  // namespace tessera
