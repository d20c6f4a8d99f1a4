// Faults that would give wrong numbers without a sign, each refused or shown absent.

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/interfaces/mask_head.h"
#include "launcher/training/checkpoint.h"
#include "launcher/training/clip_losses.h"
#include "launcher/weights/load_weights.h"
#include "tests/contract/mock_system.h"
#include "tests/training/temporary_folder.h"

namespace tessera::silent_faults_test {
namespace {

using test_support::expect_error;
using test_support::mock_experiment;
using test_support::MockSystem;
using test_support::TemporaryFolder;

/// What the heads of 0.1 were: it knows the memory's features only.
class OldMasks final : public MaskHead {
 public:
  using Options = mocks::NoOptions<90>;
  OldMasks(const Options&, const BuildContext&) {}
  std::shared_ptr<const PreparedMasks> prepare(const FeaturePyramid&, const Memory&,
                                               const ForwardContext&) override {
    return nullptr;
  }
};

/// An encoder of 0.1: prefix tokens and rotation end here.
class OldEncoder final : public Encoder {
 public:
  using Options = mocks::NoOptions<91>;
  OldEncoder(const Options&, const BuildContext&) {}
  Memory forward(const FeaturePyramid&, const ForwardContext&) override { return {}; }
  MemorySpec spec() const override { return {16, {8}, 8, 8}; }
};

/// A decoder that reads the class token from the memory, and asks for layer 0 frame by frame.
class FrameByFrame final : public Decoder {
 public:
  struct Options {
    bool reads_prefix = false;
    static void describe(Schema<Options>& schema) {
      schema.field("reads_prefix", &Options::reads_prefix, "Read the memory's prefix tokens.");
    }
  };
  FrameByFrame(const Options& options, const BuildContext&) : options_(options) {
    queries_ = register_parameter("queries", at::randn({4, 16}));
  }
  DecoderOutput decode(const DecoderInput& input) override {
    InstanceLayer layer;
    for (int64_t t = 0; t < input.memory.num_frames(); ++t) {
      layer.clip = queries_ + input.memory.tokens.select(1, t).mean(1, true);
      input.predictor.predict(0, layer, {.classes = true});
    }
    return {{{layer}}, {}};
  }
  StageReads reads() const override {
    StageReads reads;
    reads.prefix = options_.reads_prefix;
    return reads;
  }
  QuerySpec spec() const override { return {4, 16, 1, false}; }

 private:
  Options options_;
  at::Tensor queries_;
};

Registry registry_with_old_parts() {
  static const PluginDescriptor kDescriptors[] = {
      make_descriptor<MaskHead, OldMasks>("mock_old_masks", "mock"),
      make_descriptor<Encoder, OldEncoder>("mock_old_encoder", "mock"),
      make_descriptor<Decoder, FrameByFrame>("mock_frame_by_frame", "mock")};
  Registry registry = test_support::registry_with_mocks();
  for (const PluginDescriptor& descriptor : kDescriptors) registry.add(descriptor, "test");
  return registry;
}

void compose(const std::string& name, const std::vector<std::string>& overrides) {
  Registry registry = registry_with_old_parts();
  const Experiment experiment = mock_experiment(name, registry, overrides);
  VisModel(experiment.model, experiment.clip_facts());
}

TEST(Composition, RefusesAMaskHeadThatWouldNotSeeTheDecodersFeatures) {
  compose("videomt", {});
  expect_error<ConfigError>(
      [] { compose("videomt", {"model.mask_head={plugin=\"mock_old_masks\"}"}); },
      {"mock_old_masks"});
}

TEST(Composition, RefusesADecoderWhoseClassTokensNobodyGives) {
  expect_error<ConfigError>([] { compose("videomt", {"model.backbone.prefix=0"}); }, {"prefix"});
  expect_error<ConfigError>([] { compose("videomt", {"model.backbone.rotation=false"}); },
                            {"rotation"});
  const std::string reader = "model.decoder={plugin=\"mock_frame_by_frame\", reads_prefix=true}";
  compose("maskfreevis", {reader, "model.backbone.prefix=1"});
  expect_error<ConfigError>(
      [&] {
        compose("maskfreevis",
                {reader, "model.backbone.prefix=1", "model.encoder={plugin=\"mock_old_encoder\"}"});
      },
      {"mock_old_encoder"});
}

TEST(Predictor, RefusesOtherEmbeddingsForALayerThatItHasPredicted) {
  Registry registry = registry_with_old_parts();
  const Experiment experiment =
      mock_experiment("maskfreevis", registry, {"model.decoder={plugin=\"mock_frame_by_frame\"}"});
  VisModel model(experiment.model, experiment.clip_facts());
  model.forward(noise_clip({1, 32, 64}, 8), {});
  EXPECT_THROW(model.forward(noise_clip({2, 32, 64}, 8), {}), PluginError);
}

TEST(Probes, HaveNamesOfTheirOwnInEveryStage) {
  MockSystem system("dvis_offline");
  std::multiset<std::string> names;
  ForwardContext context;
  context.probe = [&](const std::string& name, const at::Tensor&) { names.insert(name); };
  system.model.forward(system.batch, context);
  for (const std::string& name : names) EXPECT_EQ(names.count(name), 1u) << name;
  EXPECT_EQ(names.count("decoder.queries"), 1u);
  EXPECT_EQ(names.count("stages.tracker.decoder.queries"), 1u);
}

/// Writes down what random numbers are drawn for.
class NamedDraws final : public PointSource {
 public:
  at::Tensor uniform(const std::string& use, int64_t count, int64_t num_points) override {
    uses.push_back(use);
    return at::rand({count, num_points, 2});
  }
  at::Tensor draw(const std::string& use, at::IntArrayRef sizes) override {
    uses.push_back(use);
    return at::rand(sizes);
  }
  std::vector<std::string> uses;
};

// Matching all layers before the first loss would shift the numbers of every system of today.
TEST(Draws, AlternateBetweenMatcherAndLossesAndNameTheirStage) {
  const std::vector<std::string> points{
      "loss.matcher={plugin=\"sequence\", num_points=8, mask_bce_weight=1}",
      "loss.terms.mask={plugin=\"mask_bce\", points={num_points=8}}"};
  const auto uses = [](const std::string& name, const std::vector<std::string>& overrides) {
    MockSystem system(name, overrides);
    NamedDraws draws;
    ForwardContext context;
    context.points = &draws;
    context.progress = 1;  // beyond the guide, with which all layers are matched once
    system.train_step(context);
    std::vector<std::string> once;
    for (const std::string& use : draws.uses) {
      // A term draws candidates and random points; a matcher draws for each clip.
      const std::string place = use.substr(0, use.find_first_of("0123456789") + 1);
      if (once.empty() || once.back() != place) once.push_back(place);
    }
    return once;
  };
  EXPECT_EQ(uses("ctvis", points),
            (std::vector<std::string>{"matcher.1", "loss.1", "matcher.0", "loss.0"}));
  std::vector<std::string> of_stage;
  for (const std::string& value : points)
    of_stage.push_back("loss.stages.tracker" + value.substr(std::string("loss").size()));
  EXPECT_EQ(uses("dvis_online", of_stage),
            (std::vector<std::string>{"stages.tracker.matcher.1", "stages.tracker.loss.1",
                                      "stages.tracker.matcher.0", "stages.tracker.loss.0"}));
}

// A matcher asks for masks without gradients before losses ask for them with.
TEST(Masks, TrainTheDecodersFeaturesAlsoWhenTheyWereAskedForWithoutGradients) {
  for (const Recomputed& what :
       {Recomputed{}, Recomputed{.masks = true}, Recomputed{.masks = true, .mask_rows = 1}}) {
    MockSystem system("videomt");
    system.model.recompute_activations(what);
    const VisModel::Output output = system.model.forward(system.batch, {});
    const MaskSource& masks = *output.last().predictions.last().masks;
    const at::Tensor rows = at::arange(4);
    {
      const at::NoGradGuard no_grad;
      masks.logits(0, rows);
    }
    masks.logits(0, rows).square().sum().backward();
    const at::Tensor gradient = system.model.named_parameters()["decoder.blocks.1.weight"].grad();
    ASSERT_TRUE(gradient.defined());
    EXPECT_GT(gradient.abs().max().item<double>(), 0);
    EXPECT_TRUE(system.model.named_parameters()["backbone.prefix"].grad().defined());
  }
}

bool is_training(const VisModel& model, const std::string& part) {
  for (const auto& [name, module] : model.parts())
    if (name == part) return module->is_training();
  ADD_FAILURE() << "no part " << part;
  return false;
}

TEST(FrozenParts, StayInEvaluationModeWhenTheModelIsSetToTraining) {
  MockSystem system("dvis_offline");
  for (const bool again : {false, true}) {
    system.model.train();
    for (const char* part :
         {"backbone", "encoder", "decoder", "mask_head", "stages.tracker.decoder"})
      EXPECT_FALSE(is_training(system.model, part)) << part << again;
    EXPECT_TRUE(is_training(system.model, "stages.refiner.decoder"));
    system.model.eval();
    EXPECT_FALSE(is_training(system.model, "stages.refiner.decoder"));
  }
  MockSystem drawing("pmt");  // frozen_mode = "train"
  EXPECT_TRUE(is_training(drawing.model, "backbone"));
  EXPECT_FALSE(drawing.model.named_parameters()["backbone.patch.weight"].requires_grad());
}

at::Tensor bank_of(const Criterion& criterion) {
  return criterion.named_buffers()["stages.tracker.contrast.bank"];
}

TEST(ClassMemory, IsKeptInCheckpointsAndNotInWeights) {
  const TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  MockSystem trained("dvis_plus"), resumed("dvis_plus");
  trained.train_step();
  const at::Tensor bank = bank_of(trained.criterion);
  EXPECT_GT(bank.abs().max().item<double>(), 0);
  const auto tensors = tensors_to_train(trained.model, trained.criterion),
             others = tensors_to_train(resumed.model, resumed.criterion);
  Optimiser optimiser({}, make_groups(tensors, {}, {})), other({}, make_groups(others, {}, {}));
  const auto file = save_checkpoint(folder, {1, 2, 7, {}, "", ""}, tensors, optimiser, 1);
  load_checkpoint(file, others, other);
  EXPECT_TRUE(bank_of(resumed.criterion).equal(bank));
  for (const auto& [name, tensor] : read_safetensors(folder.last_weights()).tensors)
    EXPECT_EQ(name.find("bank"), std::string::npos) << name;
}

TEST(ClassMemory, IsNotFilledByAPassThatOnlyCounts) {
  MockSystem system("dvis_plus");
  const at::NoGradGuard no_grad;
  system.losses(system.model.forward(system.batch, {}));
  EXPECT_EQ(bank_of(system.criterion).abs().max().item<double>(), 0);
}

/// Clip `rank` of a system's batch, as one of two ranks would have it.
CriterionResult losses_of_rank(MockSystem& system, int64_t rank,
                               const std::function<at::Tensor(const at::Tensor&)>& gather) {
  ClipBatch batch = system.batch;
  batch.frames = batch.frames.narrow(0, rank, 1);
  batch.padding_mask = batch.padding_mask.narrow(0, rank, 1);
  batch.meta = {batch.meta.at(static_cast<size_t>(rank))};
  const Targets targets{system.targets.at(static_cast<size_t>(rank))};
  system.model.eval();  // without noise, which ranks draw of their own
  const VisModel::Output output = system.model.forward(batch, {});
  WholeBatch whole = WholeBatch::of(targets);
  whole.gather_over_ranks = gather;
  return system.criterion.forward({output.memory, output.stages, targets, {}, &batch, whole});
}

TEST(ClassMemory, IsTheSameOnAllRanks) {
  // What each rank has, call by call, then both together in the order of ranks.
  std::vector<std::vector<at::Tensor>> sent(2);
  for (int64_t rank : {0, 1}) {
    MockSystem system("dvis_plus");
    losses_of_rank(system, rank, [&](const at::Tensor& rows) {
      sent[static_cast<size_t>(rank)].push_back(rows.detach());
      return rows.detach();
    });
  }
  ASSERT_EQ(sent[0].size(), sent[1].size());
  ASSERT_FALSE(sent[0].empty());
  std::vector<at::Tensor> banks;
  for (int64_t rank : {0, 1}) {
    MockSystem system("dvis_plus");
    size_t call = 0;
    losses_of_rank(system, rank, [&](const at::Tensor&) {
      const at::Tensor all = at::cat({sent[0].at(call), sent[1].at(call)});
      ++call;
      return all;
    });
    banks.push_back(bank_of(system.criterion).clone());
  }
  EXPECT_GT(banks[0].abs().max().item<double>(), 0);
  EXPECT_TRUE(banks[0].equal(banks[1]));
  // One process with the whole batch fills it alike.
  MockSystem alone("dvis_plus");
  alone.model.eval();
  alone.losses(alone.model.forward(alone.batch, {}));
  EXPECT_TRUE(at::allclose(bank_of(alone.criterion), banks[0], 1e-5, 1e-6));
}

TEST(Guide, MatchesTheTrackersRowsInTheFirstHalfOfTraining) {
  MockSystem system("dvis_online");
  const VisModel::Output output = system.model.forward(system.batch, {});
  const auto matched_at = [&](double progress) {
    ForwardContext context;
    context.progress = progress;
    return system.losses(output, context).stages.at(1).matches;
  };
  const auto early = matched_at(0.49), late = matched_at(0.5);
  ASSERT_EQ(early.size(), 2u);
  // The guide is matched once, for all layers.
  EXPECT_TRUE(early[0][0].cost.equal(early[1][0].cost));
  EXPECT_FALSE(late[0][0].cost.equal(late[1][0].cost));
  EXPECT_FALSE(early[1][0].cost.equal(late[1][0].cost));
}

}  // namespace
}  // namespace tessera::silent_faults_test
