// The criterion of models with several stages, pieces and copies.

#include "core/losses/criterion.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "core/plugin/plugin.h"
#include "core/plugin/registry.h"

namespace tessera::criterion_test {
namespace {

/// What the parts below were asked for, in order; cleared by each Stages.
std::vector<std::string>& calls() {
  static std::vector<std::string> all;
  return all;
}

std::string call_of(const char* what, int64_t layer, const ForwardContext& context) {
  return std::string(what) + " " + context.prefix + std::to_string(layer);
}

/// Gives each instance the row with the largest logit of its class, the first of several.
class ByClass final : public Matcher {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  ByClass(const Options&, const BuildContext&) {}
  Matches match(int64_t layer, const LayerPrediction& prediction, const Targets& targets,
                const ForwardContext& context) override {
    calls().push_back(call_of("match", layer, context));
    Matches matches;
    for (size_t clip = 0; clip < targets.size(); ++clip) {
      const at::Tensor logits = prediction.classes.logits[static_cast<int64_t>(clip)];
      ClipMatch match;
      match.prediction = logits.index_select(1, targets[clip].labels).argmax(0);
      match.target = at::arange(targets[clip].num_instances());
      match.valid = targets[clip].valid;
      matches.push_back(match);
    }
    return matches;
  }
};

/// Sum of the matched rows' logits of their instances' classes, per instance of the batch.
class MatchedLogits : public Loss {
 public:
  struct Options : LossTermOptions {
    static void describe(Schema<Options>& schema) { describe_term(schema); }
  };
  MatchedLogits(const Options&, const BuildContext&) {}
  at::Tensor forward(const LossInput& input) override {
    calls().push_back(call_of("term", input.layer, input.context));
    at::Tensor sum = at::zeros({});
    for (size_t clip = 0; clip < input.targets.size(); ++clip)
      sum =
          sum + input.prediction.classes.logits[static_cast<int64_t>(clip)]
                    .index({input.matches[clip].prediction,
                            input.targets[clip].labels.index_select(0, input.matches[clip].target)})
                    .sum();
    return sum / input.num_instances;
  }
};

/// Checks that it sees the stages before, and says how many of them were matched.
class SeesStages final : public Loss {
 public:
  struct Options : LossTermOptions {
    bool reads_matches = false;
    static void describe(Schema<Options>& schema) {
      describe_term(schema);
      schema.field("reads_matches", &Options::reads_matches, "Ask for them.");
    }
  };
  SeesStages(const Options& options, const BuildContext& context)
      : reads_matches_(options.reads_matches), stages_(context.earlier.size()) {}
  bool reads_earlier_matches() const override { return reads_matches_; }
  at::Tensor forward(const LossInput& input) override {
    EXPECT_NE(input.embeddings, nullptr);
    EXPECT_NE(input.batch, nullptr);
    EXPECT_EQ(input.earlier.size(), stages_);
    double matched = 0;
    for (const StageLosses* stage : input.earlier) {
      EXPECT_FALSE(stage->output->predictions.layers.empty());
      EXPECT_FALSE(stage->targets->empty());
      matched += stage->matches.empty() ? 0 : 1;
    }
    return at::scalar_tensor(matched, at::kFloat);
  }

 private:
  bool reads_matches_;
  size_t stages_;
};

/// Options that are no LossTermOptions.
class OwnWeight final : public Loss {
 public:
  struct Options {
    double weight = 1;
    std::string layers = "all";
    static void describe(Schema<Options>& schema) {
      schema.field("weight", &Options::weight, "Factor.");
      schema.field("layers", &Options::layers, "Layers.");
    }
  };
  OwnWeight(const Options&, const BuildContext&) {}
  at::Tensor forward(const LossInput&) override { return at::zeros({}); }
};

Registry& registry() {
  static Registry all(Registry::default_search_paths());
  static const bool added = [] {
    static const PluginDescriptor kDescriptors[] = {
        make_descriptor<Matcher, ByClass>("by_class", "test"),
        make_descriptor<Loss, MatchedLogits>("matched_logits", "test"),
        make_descriptor<Loss, SeesStages>("sees_stages", "test"),
        make_descriptor<Loss, OwnWeight>("own_weight", "test")};
    for (const PluginDescriptor& descriptor : kDescriptors) all.add(descriptor, "test");
    return true;
  }();
  (void)added;
  return all;
}

CriterionOptions options_of(const std::string& toml) {
  CriterionOptions options;
  ReadContext reading(&registry());
  schema_of<CriterionOptions>().read(&options, parse_toml(toml, "test"), "loss", reading);
  reading.throw_if_failed();
  return options;
}

class FixedMasks final : public MaskSource {
 public:
  explicit FixedMasks(at::Tensor logits) : logits_(std::move(logits)) {}
  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return logits_[clip].index_select(0, rows);
  }

 private:
  at::Tensor logits_;  // [B,Q,T,h,w]
};

LayerPrediction layer_of(const at::Tensor& logits) {
  LayerPrediction layer;
  layer.classes.logits = logits;
  layer.classes.activation = ClassActivation::sigmoid;
  return layer;
}

StageOutput stage_of(const std::vector<at::Tensor>& logits, int64_t piece_frames = 0) {
  StageOutput stage;
  stage.piece_frames = piece_frames;
  for (const at::Tensor& of_layer : logits) {
    stage.predictions.layers.push_back(layer_of(of_layer));
    stage.embeddings.layers.emplace_back();
  }
  return stage;
}

/// One clip of two frames with instances of class 0 and 1; the first is in both frames, the second
/// in frame 1 alone.
struct Scene {
  Memory memory;
  Targets targets{1};
  ForwardContext context;
  ClipBatch batch;

  Scene() {
    memory.tokens = at::zeros({1, 2, 1, 4});
    targets[0].labels = at::tensor({int64_t{0}, int64_t{1}});
    targets[0].valid = at::tensor({1, 1, 0, 1}).view({2, 2}).to(at::kBool);
    targets[0].boxes = at::zeros({2, 2, 4});
    targets[0].masks = at::zeros({2, 2, 4, 4}, at::kBool);
    targets[0].masks[0].narrow(1, 0, 2).fill_(true);
    targets[0].masks[1][1].narrow(1, 1, 2).fill_(true);
    targets[0].height = targets[0].width = 4;
    calls().clear();
  }
  CriterionResult losses(Criterion& criterion, const std::vector<StageOutput>& stages) const {
    return criterion.forward({memory, stages, targets, context, &batch});
  }
};

BuildContext one_stage(int64_t queries, int64_t piece_frames = 0) {
  BuildContext context;
  context.clip = {2, 2};
  context.memory.dim = 4;
  context.queries.num_queries = queries;
  context.queries.piece_frames = piece_frames;
  return context;
}

std::vector<StageFacts> two_stages(int64_t first_pieces = 0, int64_t second_pieces = 0) {
  std::vector<StageFacts> stages(2);
  stages[0].name = "segmenter";
  stages[1].name = "tracker";
  for (StageFacts& stage : stages) stage.queries.num_queries = 2;
  stages[0].queries.piece_frames = first_pieces;
  stages[1].queries.piece_frames = second_pieces;
  return stages;
}

const char* const kTerms =
    "matcher = \"by_class\"\n"
    "[terms]\nfirst = { plugin = \"matched_logits\", weight = 2.0 }\n"
    "second = { plugin = \"matched_logits\", layers = \"last\" }\n";

// Rows x classes: row 0 says class 0, row 1 class 1.
at::Tensor straight(double scale = 1) {
  return at::tensor({2.0, 0.0, 0.0, 3.0}).view({1, 2, 2}) * scale;
}

at::Tensor crossed() {
  return at::tensor({0.0, 5.0, 7.0, 0.0}).view({1, 2, 2});
}

TEST(Criterion, MatchesALayerThenComputesItsTermsLastLayerFirst) {
  const Scene scene;
  Criterion criterion(options_of(kTerms), one_stage(2));
  const CriterionResult result = scene.losses(criterion, {stage_of({straight(), crossed()})});
  EXPECT_EQ(calls(),
            (std::vector<std::string>{"match 1", "term 1", "term 1", "match 0", "term 0"}));
  ASSERT_EQ(result.terms.size(), 3u);
  EXPECT_EQ(result.terms[0].name, "first");
  EXPECT_EQ(result.terms[1].name, "second");
  EXPECT_EQ(result.terms[2].name, "first_0");
  EXPECT_NEAR(result.terms[0].value.item<double>(), 12.0 / 2, 1e-6);
  EXPECT_NEAR(result.total.item<double>(), 2 * 6.0 + 6.0 + 2 * 2.5, 1e-6);
  EXPECT_TRUE(at::equal(result.matches[1][0].prediction, at::tensor({int64_t{1}, int64_t{0}})));
}

// Frame 0 has one instance (logit 2), frame 1 two (logits 20 and 30).
TEST(Criterion, NormalisesPiecesTogetherOrEachByItself) {
  const Scene scene;
  const std::vector<StageOutput> stages{
      stage_of({at::cat({straight(), straight(10)})}, /*piece_frames=*/1)};
  const auto total = [&](const std::string& options) {
    Criterion criterion(options_of(options + "matcher = \"by_class\"\n[terms]\n"
                                             "one = { plugin = \"matched_logits\" }\n"),
                        one_stage(2, 1));
    return scene.losses(criterion, stages).total.item<double>();
  };
  EXPECT_NEAR(total(""), (2.0 + 20 + 30) / 3, 1e-5);
  EXPECT_NEAR(total("pieces = \"summed\"\n"), 2.0 / 1 + (20.0 + 30) / 2, 1e-5);
  EXPECT_EQ(calls().back(), "term pieces.1.0");
  // With the absent instance, frame 0 has two (logits 2 and 3).
  EXPECT_NEAR(total("keep_absent = true\n"), (2.0 + 3 + 20 + 30) / 4, 1e-5);
  EXPECT_NEAR(total("keep_absent = true\npieces = \"summed\"\n"), 5.0 / 2 + 50.0 / 2, 1e-5);
}

TEST(Criterion, CountsPiecesOfTheWholeBatchWhereItIsCutIntoParts) {
  const Scene scene;
  Criterion criterion(options_of("pieces = \"summed\"\nmatcher = \"by_class\"\n[terms]\n"
                                 "one = { plugin = \"matched_logits\" }\n"),
                      one_stage(2, 1));
  const auto counts = criterion.counts_of(scene.targets);
  ASSERT_EQ(counts.size(), 1u);
  ASSERT_EQ(counts[0].size(), 2u);
  EXPECT_EQ(counts[0][0].instances, 1);
  EXPECT_EQ(counts[0][1].instances, 2);
  // Of two parts the other has nothing in it: half the counts a part.
  const std::vector<StageOutput> stages{stage_of({at::cat({straight(), straight(10)})}, 1)};
  WholeBatch whole{BatchCounts::of(scene.targets), 2, {}, counts, {}};
  for (BatchCounts& piece : whole.stages[0]) piece.instances /= 2;
  const CriterionResult result =
      criterion.forward({scene.memory, stages, scene.targets, scene.context, &scene.batch, whole});
  EXPECT_NEAR(result.total.item<double>(), 2 * (2.0 / 1 + (20.0 + 30) / 2), 1e-4);
  whole.stages.clear();
  EXPECT_THROW(
      criterion.forward({scene.memory, stages, scene.targets, scene.context, &scene.batch, whole}),
      RuntimeError);
}

TEST(Criterion, StackedFramesAreOneTallImage) {
  const Scene scene;
  at::manual_seed(1);
  const at::Tensor masks = at::randn({1, 2, 2, 4, 4});  // [B,Q,T,h,w]
  const std::string terms =
      "matcher = \"by_class\"\n[terms]\ndice = { plugin = \"mask_dice\", normaliser = "
      "\"instance_frames\" }\nbce = { plugin = \"mask_bce\", normaliser = \"valid_frames\" }\n";
  const auto losses = [&](const std::string& view, const at::Tensor& logits,
                          const Targets& targets) {
    StageOutput stage = stage_of({straight()});
    stage.predictions.layers[0].masks = std::make_shared<FixedMasks>(logits);
    Criterion criterion(options_of(view + terms), one_stage(2));
    const std::vector<StageOutput> stages{stage};
    return criterion.forward({scene.memory, stages, targets, scene.context, &scene.batch});
  };
  Targets tall = scene.targets;
  tall[0].masks = tall[0].masks.view({2, 1, 8, 4});
  tall[0].valid = tall[0].valid.any(1, true);
  const CriterionResult expected = losses("", masks.view({1, 2, 1, 8, 4}), tall);
  const CriterionResult found = losses("view = \"stacked\"\n", masks, scene.targets);
  const CriterionResult apart = losses("", masks, scene.targets);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(found.terms[i].value.item<double>(), expected.terms[i].value.item<double>(), 1e-6);
    EXPECT_GT(std::abs(apart.terms[i].value.item<double>() - found.terms[i].value.item<double>()),
              1e-3);
  }
}

TEST(Criterion, LayersOfCopiesGiveTheMeanOverCopies) {
  const Scene scene;
  const auto losses = [&](const std::vector<at::Tensor>& layers, int64_t copies) {
    StageOutput stage = stage_of(layers);
    stage.embeddings.copies = copies;
    Criterion criterion(options_of(kTerms), one_stage(2));
    return scene.losses(criterion, {stage});
  };
  const CriterionResult one = losses({straight(), crossed()}, 1),
                        other = losses({straight(3), straight(5)}, 1),
                        both = losses({straight(), crossed(), straight(3), straight(5)}, 2);
  ASSERT_EQ(both.terms.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(both.terms[i].name, one.terms[i].name);
    EXPECT_NEAR(both.terms[i].value.item<double>(),
                (one.terms[i].value.item<double>() + other.terms[i].value.item<double>()) / 2,
                1e-5);
  }
  EXPECT_NEAR(both.total.item<double>(),
              (one.total.item<double>() + other.total.item<double>()) / 2, 1e-4);
  EXPECT_EQ(both.matches.size(), 4u);
  EXPECT_THROW(losses({straight(), crossed(), straight()}, 2), RuntimeError);
}

/// The rows that the tracker's two layers are matched to, and the calls so far.
std::vector<at::Tensor> rows_of_tracker(double progress, const std::string& guide,
                                        const at::Tensor& row_before) {
  Scene scene;
  scene.context.progress = progress;
  Criterion criterion(options_of("[stages.tracker]\nmatcher = \"by_class\"\n" + guide +
                                 "terms = { one = { plugin = \"matched_logits\" } }\n"),
                      one_stage(2), two_stages(/*first_pieces=*/1, /*second_pieces=*/1));
  // Per frame; the tracker itself would give both instances to row 0.
  const at::Tensor own = at::tensor({4.0, 4.0, 1.0, 1.0}).view({1, 2, 2}).expand({2, 2, 2});
  std::vector<StageOutput> stages{stage_of({crossed().expand({2, 2, 2})}, 1),
                                  stage_of({own, own}, 1)};
  stages[1].embeddings.layers.back().row_before = row_before;
  const CriterionResult result = scene.losses(criterion, stages);
  EXPECT_TRUE(result.stages[0].matches.empty());  // no terms, and nobody reads its matches
  EXPECT_EQ(result.terms[0].name, "tracker.one");
  EXPECT_EQ(result.terms[1].name, "tracker.one_0");
  std::vector<at::Tensor> rows;
  for (const Matches& layer : result.stages[1].matches) rows.push_back(layer[1].prediction);
  return rows;
}

TEST(Criterion, AGuideMatchesTheFirstPartOfTraining) {
  const std::string guide = "guide = \"segmenter\"\nguide_until = 0.5\n";
  const at::Tensor own = at::tensor({int64_t{0}, int64_t{0}});
  // The guide's row 1 is instance 0. In frame 1 the tracker's row 0 continues the guide's row 1.
  const at::Tensor rows = at::tensor({0, 1, 1, 0}, at::kLong).view({1, 2, 2});
  for (const at::Tensor& found : rows_of_tracker(0.49, guide, rows))
    EXPECT_TRUE(at::equal(found, at::tensor({int64_t{0}, int64_t{1}})));
  // Once for all layers, and in the name of the last.
  EXPECT_EQ(calls(), (std::vector<std::string>{"match stages.tracker.1", "term stages.tracker.1",
                                               "term stages.tracker.0"}));
  for (const at::Tensor& found : rows_of_tracker(0.5, guide, rows))
    EXPECT_TRUE(at::equal(found, own));
  EXPECT_EQ(calls(), (std::vector<std::string>{"match stages.tracker.1", "term stages.tracker.1",
                                               "match stages.tracker.0", "term stages.tracker.0"}));
  for (const at::Tensor& found : rows_of_tracker(0.0, "", rows)) EXPECT_TRUE(at::equal(found, own));
  // Without row_before the order is the guide's; a row may be continued twice.
  for (const at::Tensor& found : rows_of_tracker(0.0, guide, {}))
    EXPECT_TRUE(at::equal(found, at::tensor({int64_t{1}, int64_t{0}})));
  for (const at::Tensor& found : rows_of_tracker(0.0, guide, at::ones({1, 2, 2}, at::kLong)))
    EXPECT_TRUE(at::equal(found, at::tensor({int64_t{0}, int64_t{0}})));
}

TEST(Criterion, ALaterStageReadsTheMatchesOfTheFirst) {
  const Scene scene;
  const std::vector<StageOutput> stages{stage_of({straight()}), stage_of({straight()})};
  const auto matched = [&](const std::string& options) {
    Criterion criterion(
        options_of("matcher = \"by_class\"\n[stages.tracker]\nmatcher = \"by_class\"\n"
                   "terms = { one = { plugin = \"sees_stages\"" +
                   options + " } }\n"),
        one_stage(2), two_stages());
    return scene.losses(criterion, stages).total.item<double>();
  };
  EXPECT_EQ(matched(""), 0);
  EXPECT_EQ(matched(", reads_matches = true"), 1);
}

TEST(Criterion, AFurtherStageWithoutTermsIsMatched) {
  const Scene scene;
  Criterion criterion(options_of("[stages.tracker]\nmatcher = \"by_class\"\n"), one_stage(2),
                      two_stages());
  const std::vector<StageOutput> stages{stage_of({straight()}), stage_of({crossed()})};
  const CriterionResult result = scene.losses(criterion, stages);
  EXPECT_TRUE(result.terms.empty());
  ASSERT_EQ(result.stages[1].matches.size(), 1u);
  EXPECT_TRUE(
      at::equal(result.stages[1].matches[0][0].prediction, at::tensor({int64_t{1}, int64_t{0}})));
  EXPECT_THROW(scene.losses(criterion, {stages[0]}), RuntimeError);
}

TEST(Criterion, RefusesStagesAndGuidesThatTheModelHasNot) {
  const auto make = [](const std::string& options) {
    Criterion(options_of(options), one_stage(2), two_stages());
  };
  EXPECT_THROW(make("[stages.traker]\n"), ConfigError);
  EXPECT_THROW(make("[stages.segmenter]\n"), ConfigError);
  EXPECT_THROW(make("[stages.tracker]\nguide = \"tracker\"\nguide_until = 0.5\n"), ConfigError);
  EXPECT_THROW(make("[stages.tracker]\nguide_until = 0.5\n"), ConfigError);
  EXPECT_NO_THROW(make("[stages.tracker]\nguide = \"segmenter\"\nguide_until = 1\n"));
}

TEST(Criterion, ReadsAWeightThroughTheBaseOfATermsOptions) {
  const CriterionOptions options = options_of(kTerms);
  const PluginChoice& choice = options.terms.at(0).second;
  const auto* base = choice.descriptor->schema().view<LossTermOptions>(choice.options.get());
  ASSERT_NE(base, nullptr);
  EXPECT_EQ(base->weight, 2.0);
  EXPECT_EQ(choice.descriptor->schema().view<FeatureLossOptions>(choice.options.get()), nullptr);
  EXPECT_THROW(Criterion(options_of("[terms]\nbad = { plugin = \"own_weight\" }\n"), one_stage(2)),
               PluginError);
}

TEST(LossInput, MasksThatATermWithoutGradientsAskedForHaveGradients) {
  const Scene scene;
  const at::Tensor logits = at::zeros({1, 2, 2, 4, 4}).requires_grad_();
  LayerPrediction prediction = layer_of(straight());
  prediction.masks = std::make_shared<FixedMasks>(logits);
  const Matches matches = ByClass({}, {}).match(0, prediction, scene.targets, scene.context);
  const LossInput input(0, prediction, scene.targets, matches, scene.context);
  {
    const at::NoGradGuard reported;
    input.matched_masks();
  }
  input.matched_masks().logits.sum().backward();
  EXPECT_TRUE(logits.grad().defined());
}

}  // namespace
}  // namespace tessera::criterion_test
