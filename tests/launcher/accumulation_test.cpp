// A step's batch trained in parts: the loss and the gradients of the whole batch, however it is
// cut.

#include <gtest/gtest.h>

#include <map>

#include "core/error.h"
#include "launcher/model/criterion_stages.h"
#include "launcher/model/noise_clip.h"
#include "launcher/training/step_batch.h"
#include "launcher/training/trainer.h"
#include "tests/launcher/composed_system.h"

namespace tessera {
namespace {

using test_support::Composed;
using test_support::difference;

/// Clips of equal size with these numbers of instances, some of which are absent in some frames.
data::TrainingBatch batch_of(const Composed& system, const std::vector<int64_t>& instances) {
  const auto clips = static_cast<int64_t>(instances.size());
  const int64_t frames = system.experiment.data.num_frames;
  data::TrainingBatch batch;
  batch.batch = noise_clip({frames, 64, 96}, system.model.needs().size_divisor, clips);
  batch.batch.frames = batch.batch.frames.to(at::kDouble);
  batch.batch.padding_mask.select(0, 1).narrow(2, 80, 16).fill_(true);
  for (int64_t clip = 0; clip < clips; ++clip) {
    ClipBatch one = batch.batch;
    one.frames = one.frames.narrow(0, clip, 1);
    one.meta.resize(1);
    Targets targets = moving_targets(one, instances[clip], system.experiment.data.num_categories);
    for (int64_t n = 0; n < instances[clip]; ++n) {
      if ((n + clip) % 3 != 0) continue;
      const int64_t frame = n % frames;
      targets[0].valid[n][frame].fill_(false);
      targets[0].boxes[n][frame].zero_();
      targets[0].masks[n][frame].zero_();
    }
    targets[0].boxes = targets[0].boxes.to(at::kDouble);
    targets[0].random_key = static_cast<uint64_t>(100 + clip);
    batch.targets.push_back(targets[0]);
    batch.sample_indices.push_back(clip);
  }
  return batch;
}

/// What a step gives: losses by name, and the gradients of model, criterion and auxiliary networks.
struct Step {
  std::map<std::string, double> losses;
  std::vector<at::Tensor> gradients;
};

class Trained {
 public:
  explicit Trained(const std::string& name, const std::vector<std::string>& overrides = {})
      : system_(name, overrides),
        criterion_((at::manual_seed(5), system_.experiment.loss), system_.model.facts(),
                   criterion_stages(system_.model)),
        auxiliaries_(make_auxiliaries(system_.experiment, system_.model.facts())),
        losses_(system_.experiment, system_.model, criterion_, auxiliaries_) {
    // In evaluation mode there is neither dropout nor batch statistics, which no cut keeps. In
    // double, so that nothing but rounding may differ.
    system_.model.to(at::kDouble);
    criterion_.eval();
    criterion_.to(at::kDouble);
    for (const auto& auxiliary : auxiliaries_) {
      auxiliary->eval();
      auxiliary->to(at::kDouble);
    }
  }

  Step step(const data::TrainingBatch& batch, int64_t num_parts) {
    BatchNormaliser normaliser(losses_, system_.model, criterion_, nullptr);
    const auto parts = cut_into_parts(batch, num_parts);
    const auto parameters = all_parameters();
    for (const at::Tensor& parameter : parameters) parameter.mutable_grad() = at::Tensor();
    Step step;
    const auto seed = [](int64_t) { at::manual_seed(6); };
    normaliser.prepare(
        parts, [](data::TrainingBatch&) {}, seed);
    const double share = 1.0 / static_cast<double>(num_parts);
    for (const data::TrainingBatch& part : parts) {
      seed(0);
      const PartialLoss loss = losses_.compute(part.batch, part.targets, normaliser.next_part());
      at::Tensor total = loss.total;
      for (const at::Tensor& own : loss.auxiliary_totals) total = total + own;
      (total * share).backward();
      step.losses["total"] += share * total.item<double>();
      for (const NamedLoss& term : loss.terms)
        step.losses[term.name] += share * term.value.item<double>();
    }
    for (const at::Tensor& parameter : parameters)
      step.gradients.push_back(parameter.grad().defined() ? parameter.grad().clone()
                                                          : at::zeros_like(parameter));
    return step;
  }

  const Composed& system() const { return system_; }
  Composed& system() { return system_; }
  const Criterion& criterion() const { return criterion_; }
  const ClipLosses& losses() const { return losses_; }

 private:
  std::vector<at::Tensor> all_parameters() const {
    std::vector<at::Tensor> all = system_.model.parameters();
    const auto append = [&all](const std::vector<at::Tensor>& more) {
      all.insert(all.end(), more.begin(), more.end());
    };
    append(criterion_.parameters());
    for (const auto& auxiliary : auxiliaries_) append(auxiliary->parameters());
    return all;
  }

  Composed system_;
  Criterion criterion_;
  Auxiliaries auxiliaries_;
  ClipLosses losses_;
};

/// Compares the batch in one part with the batch in two and in four.
void expect_same_in_parts(Trained& trained) {
  // Few, none, more than any of these models has queries in a frame, some; or nothing at all.
  for (const std::vector<int64_t>& instances :
       {std::vector<int64_t>{2, 0, 12, 5}, std::vector<int64_t>{0, 0, 0, 0}}) {
    const data::TrainingBatch batch = batch_of(trained.system(), instances);
    const Step whole = trained.step(batch, 1);
    double squares = 0;
    for (const at::Tensor& gradient : whole.gradients)
      squares += gradient.square().sum().item<double>();
    for (const int64_t num_parts : {2, 4}) {
      const Step parts = trained.step(batch, num_parts);
      ASSERT_EQ(parts.losses.size(), whole.losses.size());
      for (const auto& [name, value] : whole.losses)
        EXPECT_NEAR(parts.losses.at(name), value, 1e-11 * std::max(1.0, std::abs(value)))
            << name << " in " << num_parts << " parts";
      double off = 0;
      for (size_t i = 0; i < whole.gradients.size(); ++i)
        off += (parts.gradients[i] - whole.gradients[i]).square().sum().item<double>();
      EXPECT_LT(std::sqrt(off / squares), 1e-10) << num_parts << " parts";
    }
  }
}

class Accumulation : public testing::TestWithParam<const char*> {};

TEST_P(Accumulation, GivesTheWholeBatchsLossesAndGradientsForEveryCut) {
  Trained trained(GetParam());
  expect_same_in_parts(trained);
}

/// Each frame is matched and normalised by itself: more instances are in some frames than in
/// others.
TEST(AccumulationOfPieces, GivesTheWholeBatchsLossesAndGradientsForEveryCut) {
  const std::string apart = "model.frames=\"apart\"", summed = "loss.pieces=\"summed\"";
  const std::vector<std::vector<std::string>> cases{
      {apart}, {apart, summed}, {"loss.view=\"stacked\""}};
  for (const std::vector<std::string>& overrides : cases) {
    SCOPED_TRACE(join(overrides));
    Trained trained("smoke/mask2former_vis", overrides);
    expect_same_in_parts(trained);
  }
}

INSTANTIATE_TEST_SUITE_P(Systems, Accumulation,
                         testing::Values("smoke/vistr", "smoke/deformable_vistr", "smoke/simvtr",
                                         "smoke/mask2former_vis", "smoke/mssts", "smoke/ifc",
                                         "quickstart_seqformer", "quickstart_backbone"));

TEST(BatchNormaliser, RunsForwardOnlyForWhatTheGroundTruthDoesNotTell) {
  Trained trained("smoke/simvtr");
  const auto needs = [&](const std::vector<int64_t>& instances) {
    return trained.criterion().needs_predictions_of_batch(
        WholeBatch::of(batch_of(trained.system(), instances).targets));
  };
  EXPECT_FALSE(needs({10, 0}));
  EXPECT_TRUE(needs({11, 0}));
  EXPECT_TRUE(Trained("quickstart_backbone").criterion().needs_predictions_of_batch({}));
}

// What parts draw (dropout, points) is the same in both passes, and the first leaves no trace.
TEST(BatchNormaliser, RunsPartsAsTrainingDoesAndLeavesTheModelAsItWas) {
  Trained trained("quickstart_backbone", {"model.backbone.frozen_statistics=false"});
  trained.system().model.train();
  std::vector<at::Tensor> before;
  for (const NamedTensor& tensor : trained.system().model.named_tensors())
    before.push_back(tensor.tensor.clone());
  BatchNormaliser normaliser(trained.losses(), trained.system().model, trained.criterion(),
                             nullptr);
  const auto seeds_for = [&](const std::vector<int64_t>& instances) {
    std::vector<int64_t> seeds;
    normaliser.prepare(
        cut_into_parts(batch_of(trained.system(), instances), 2), [](data::TrainingBatch&) {},
        [&seeds](int64_t part) { seeds.push_back(part); });
    return seeds;
  };
  EXPECT_EQ(seeds_for({1, 2}), (std::vector<int64_t>{0, 1}));
  size_t i = 0;
  for (const NamedTensor& tensor : trained.system().model.named_tensors())
    EXPECT_TRUE(tensor.tensor.equal(before[i++])) << tensor.name;
}

TEST(BatchNormaliser, CountsTheWholeBatch) {
  Trained trained("smoke/simvtr");
  BatchNormaliser normaliser(trained.losses(), trained.system().model, trained.criterion(),
                             nullptr);
  const auto frames = static_cast<double>(trained.system().experiment.data.num_frames);
  for (const int64_t num_parts : {1, 2, 4}) {
    normaliser.prepare(
        cut_into_parts(batch_of(trained.system(), {2, 0, 12, 5}), num_parts),
        [](data::TrainingBatch&) {}, [](int64_t) {});
    const WholeBatch& whole = normaliser.next_part();
    const auto parts = static_cast<double>(num_parts);
    EXPECT_EQ(whole.pieces, num_parts);
    EXPECT_DOUBLE_EQ(whole.counts.clips, 4 / parts);
    EXPECT_DOUBLE_EQ(whole.counts.clips_with_instances, 3 / parts);
    EXPECT_DOUBLE_EQ(whole.counts.instances, 19 / parts);
    EXPECT_DOUBLE_EQ(whole.counts.instance_frames, 19 * frames / parts);
    // batch_of() takes one, none, four and two instances out of a frame.
    EXPECT_DOUBLE_EQ(whole.counts.valid_frames, (19 * frames - 7) / parts);
    EXPECT_DOUBLE_EQ(whole.counts.most_instances, 12);
  }
}

TEST(BatchNormaliser, RefusesASumThatNoLossAnnounced) {
  Trained trained("smoke/simvtr");
  BatchNormaliser normaliser(trained.losses(), trained.system().model, trained.criterion(),
                             nullptr);
  const auto parts = cut_into_parts(batch_of(trained.system(), {1, 2}), 2);
  normaliser.prepare(
      parts, [](data::TrainingBatch&) {}, [](int64_t) {});
  EXPECT_THROW(normaliser.next_part().mean(at::ones({})), RuntimeError);
}

TEST(BatchNormaliser, CutsIntoEqualPartsOnly) {
  Trained trained("smoke/simvtr");
  EXPECT_THROW(cut_into_parts(batch_of(trained.system(), {1, 2, 0}), 2), RuntimeError);
}

}  // namespace
}  // namespace tessera
