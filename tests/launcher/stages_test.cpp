// Models of several stages: what a stage sees, what is checked when parts are composed, what is
// frozen, and that activations that are computed again give the same gradients.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "core/config/toml_reader.h"
#include "tests/launcher/composed_system.h"
#include "tests/launcher/stage_parts.h"

namespace tessera {
namespace {

constexpr int64_t kFrames = 4;

struct ModelOnly {
  ModelOptions model;
  static void describe(Schema<ModelOnly>& schema) {
    schema.field("model", &ModelOnly::model, "The parts.");
  }
};

/// A model of test parts; `first` and `further` are what its decoders' options say.
struct Staged {
  explicit Staged(const std::string& first, const std::vector<std::string>& further = {},
                  const std::string& encoder = "", const std::string& before_stages = "") {
    stage_parts::add_all(registry);
    std::string toml = "[model]\n" + before_stages + "\nbackbone = \"token_backbone\"\n" +
                       "encoder = { plugin = \"token_encoder\"" + encoder + " }\n" + stage(first);
    for (size_t i = 0; i < further.size(); ++i)
      toml +=
          "[[model.stages]]\nname = \"stage_" + std::to_string(i + 1) + "\"\n" + stage(further[i]);
    ModelOnly read;
    ReadContext context(&registry);
    schema_of<ModelOnly>().read(&read, parse_toml(toml, "test.toml"), "", context);
    context.throw_if_failed();
    at::manual_seed(1);
    model = std::make_shared<VisModel>(read.model, ClipFacts{kFrames, 5});
  }
  static std::string stage(const std::string& decoder) {
    return "decoder = { plugin = \"test_decoder\"" + decoder +
           " }\ninstance_head = { plugin = \"class_box\", per_layer = true }\nmask_head = { plugin "
           "= "
           "\"dot_product\", features = \"encoder\", position = false }\n";
  }

  Registry registry{Registry::default_search_paths()};
  std::shared_ptr<VisModel> model;
};

ClipBatch stage_clips() {
  at::manual_seed(3);
  return test_support::generated_clips(kFrames);
}

/// Classes, boxes and masks of a stage, whose masks are asked for without gradients first, as
/// matchers do.
at::Tensor loss_of(const StageOutput& stage) {
  at::Tensor loss = at::zeros({});
  for (const LayerPrediction& layer : stage.predictions.layers) {
    const at::Tensor rows = at::arange(stage_parts::kQueries);
    {
      const at::NoGradGuard no_grad;
      layer.masks->logits(1, rows);
    }
    loss = loss + layer.classes.logits.square().mean() + layer.boxes.square().mean() +
           layer.masks->logits(1, rows).square().mean() +
           layer.masks->logits(0, rows.narrow(0, 0, 2)).mean();
  }
  return loss;
}

std::map<std::string, at::Tensor> gradients_of(VisModel& model, const ClipBatch& batch) {
  model.zero_grad();
  const VisModel::Output output = model.forward(batch, {});
  at::Tensor loss = at::zeros({});
  for (const StageOutput& stage : output.stages) loss = loss + loss_of(stage);
  loss.backward();
  std::map<std::string, at::Tensor> found;
  for (const auto& item : model.named_parameters())
    if (item.value().grad().defined()) found[item.key()] = item.value().grad().clone();
  return found;
}

std::string composing_error(const std::function<void()>& compose) {
  try {
    compose();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Stages, ShippedDecodersMakeTwoStagesWithNamesOfTheirOwn) {
  const std::string stage =
      "decoder = { plugin = \"transformer\", num_layers = 2, num_queries = 4, feed_forward_dim = "
      "32, self_attention = { plugin = \"dense\", num_heads = 4 }, cross_attention = { plugin = "
      "\"dense\", num_heads = 4 } }\ninstance_head = { plugin = \"class_box\" }\n"
      "mask_head = { plugin = \"dot_product\", channels = 16 }\n";
  Staged parts("");
  ModelOnly read;
  ReadContext context(&parts.registry);
  schema_of<ModelOnly>().read(
      &read,
      parse_toml(
          "[model]\nbackbone = \"token_backbone\"\nencoder = { plugin = \"transformer\", dim "
          "= 64, num_layers = 1, feed_forward_dim = 32, position = { kind = \"2d\" }, attention = "
          "{ plugin = \"dense\", "
          "num_heads = 4 } }\n" +
              stage + "[[model.stages]]\nname = \"second\"\n" + stage,
          "test.toml"),
      "", context);
  context.throw_if_failed();
  VisModel model(read.model, {kFrames, 5});
  std::vector<std::string> names;
  for (const NamedTensor& tensor : model.named_tensors()) names.push_back(tensor.name);
  const auto has = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  EXPECT_TRUE(has("decoder.layers.1.norm1.weight") && has("mask_head.mask_embed.layers.0.weight"));
  EXPECT_TRUE(has("stages.second.decoder.layers.1.norm1.weight"));
  EXPECT_TRUE(has("stages.second.instance_head.class_embed.weight"));
  EXPECT_TRUE(has("stages.second.mask_head.mask_embed.layers.0.weight"));
  EXPECT_EQ(model.num_stages(), 2u);
  EXPECT_EQ(model.stage_name(0), "segmenter");
  EXPECT_EQ(model.stage_name(1), "second");
  ASSERT_EQ(model.facts().earlier.size(), 1u);

  std::map<std::string, int> probed;
  ForwardContext watched;
  watched.probe = [&](const std::string& name, const at::Tensor&) { ++probed[name]; };
  const VisModel::Output output = model.forward(stage_clips(), watched);
  ASSERT_EQ(output.stages.size(), 2u);
  EXPECT_EQ(output.last().predictions.layers.size(), 2u);
  EXPECT_EQ(probed["decoder.embeddings"], 1);
  EXPECT_EQ(probed["stages.second.decoder.embeddings"], 1);
  loss_of(output.last()).backward();
  for (const auto& item : model.named_parameters()) {
    const bool is_of_first = item.key().starts_with("decoder.") ||
                             item.key().starts_with("instance_head.") ||
                             item.key().starts_with("mask_head.");
    EXPECT_FALSE(is_of_first && item.value().grad().defined()) << item.key();
  }
}

TEST(Stages, EarlierStagesAreAllVisible) {
  Staged staged("", {", stages = 1", ", stages = 2"});
  std::map<std::string, int64_t> earlier;
  ForwardContext watched;
  watched.probe = [&](const std::string& name, const at::Tensor& value) {
    if (name.ends_with("decoder.earlier")) earlier[name] = value.item<int64_t>();
  };
  const VisModel::Output output = staged.model->forward(stage_clips(), watched);
  EXPECT_EQ(earlier, (std::map<std::string, int64_t>{{"decoder.earlier", 0},
                                                     {"stages.stage_1.decoder.earlier", 1},
                                                     {"stages.stage_2.decoder.earlier", 2}}));
  // The last stage's loss reaches the first decoder through what it found.
  loss_of(output.last()).backward();
  EXPECT_TRUE(staged.model->named_parameters()["decoder.queries"].grad().defined());
  const auto& told = dynamic_cast<const stage_parts::TestDecoder&>(
                         *staged.model->named_modules()["stages.stage_2.decoder"])
                         .told();
  ASSERT_EQ(told.earlier.size(), 2u);
  EXPECT_EQ(told.earlier[1].num_queries, stage_parts::kQueries);
}

TEST(Stages, FramesApartAreClipsOfOneFrame) {
  using test_support::Composed;
  Composed apart("smoke/mask2former_vis", {"model.frames=apart"});
  Composed single("smoke/mask2former_vis", {"data.num_frames=1"});
  const int64_t frames = apart.experiment.data.num_frames;
  ASSERT_GT(frames, 1);
  ClipBatch each = apart.batch;
  each.frames = apart.batch.frames.flatten(0, 1).unsqueeze(1);
  each.padding_mask = apart.batch.padding_mask.flatten(0, 1).unsqueeze(1);
  const at::NoGradGuard no_grad;
  const VisModel::Output found = apart.model.forward(apart.batch, {}),
                         expected = single.model.forward(each, {});
  EXPECT_EQ(found.memory.tokens.size(1), frames);
  EXPECT_TRUE(found.memory.tokens.flatten(0, 1).equal(expected.memory.tokens.squeeze(1)));
  EXPECT_EQ(found.last().piece_frames, 1);
  EXPECT_EQ(apart.model.stage_spec(0).piece_frames, 1);
  EXPECT_TRUE(apart.model.stage_spec(0).per_frame);
  ASSERT_EQ(found.last().predictions.layers.size(), expected.last().predictions.layers.size());
  const int64_t clip_frames = each.frames.size(0);
  for (size_t layer = 0; layer < found.last().predictions.layers.size(); ++layer) {
    const LayerPrediction &said = found.last().predictions.layers[layer],
                          &goal = expected.last().predictions.layers[layer];
    EXPECT_TRUE(said.classes.logits.equal(goal.classes.logits));
    const at::Tensor rows = at::arange(goal.classes.logits.size(-2));
    for (int64_t frame = 0; frame < clip_frames; ++frame)
      EXPECT_TRUE(said.masks->logits(frame, rows).equal(goal.masks->logits(frame, rows)));
    EXPECT_TRUE(found.last().embeddings.layers[layer].frame.flatten(0, 1).equal(
        expected.last().embeddings.layers[layer].clip));
  }
  // A training clip may have any number of frames.
  EXPECT_EQ(apart.model.needs().fixed_frames, 0);

  // Heads on the last layer alone, for some frames.
  FeaturePyramid pyramid = apart.model.features(apart.batch, {});
  const Memory memory = apart.model.encode(pyramid, {});
  const LayerPrediction alone =
      apart.model.predict_last(0, pyramid, memory, found.last().embeddings.layers.back(), {});
  EXPECT_TRUE(alone.classes.logits.equal(expected.last().predictions.last().classes.logits));
}

TEST(Stages, PartsOfFramesApartDoNotFixTheClipsLength) {
  const std::string fixed = ", fixed_frames = -1";
  EXPECT_EQ(Staged("", {}, fixed).model->needs().fixed_frames, kFrames);
  EXPECT_EQ(Staged("", {}, fixed, "frames = \"apart\"").model->needs().fixed_frames, 0);
  EXPECT_NE(composing_error([] {
              Staged("", {}, ", fixed_frames = 3", "frames = \"apart\"");
            }).find("encoder to work for 1 frame"),
            std::string::npos);
}

TEST(Stages, StepsGiveWhatPredictGives) {
  Staged staged("", {", stages = 1, gives_pixels = true"});
  VisModel& model = *staged.model;
  const ClipBatch batch = stage_clips();
  const at::NoGradGuard no_grad;
  ForwardContext context;
  for (const bool half : {false, true}) {
    context.autocast = half ? std::optional(at::kBFloat16) : std::nullopt;
    const VisModel::Output expected = model.forward(batch, context);
    const FeaturePyramid pyramid = model.features(batch, context);
    const Memory memory = model.encode(pyramid, context);
    const StageRun first = model.run_stage(0, pyramid, memory, {}, nullptr, context);
    const StageRun last = model.run_stage(1, pyramid, memory, {&first.output}, nullptr, context);
    const LayerPrediction alone =
        model.predict_last(1, pyramid, memory, last.output.embeddings.layers.back(), context);
    const LayerPrediction &goal = expected.last().predictions.last(),
                          &found = last.output.predictions.last();
    const at::Tensor rows = at::arange(stage_parts::kQueries);
    EXPECT_TRUE(found.classes.logits.equal(goal.classes.logits));
    EXPECT_TRUE(found.masks->logits(1, rows).equal(goal.masks->logits(1, rows)));
    EXPECT_EQ(found.masks->logits(1, rows).scalar_type(), at::kFloat);
    EXPECT_EQ(last.output.embeddings.layers.back().frame.scalar_type(), at::kFloat);
    EXPECT_EQ(last.output.embeddings.layers.back().pixel_features.scalar_type(), at::kFloat);
    if (half) continue;
    EXPECT_TRUE(alone.classes.logits.equal(goal.classes.logits));
    EXPECT_TRUE(alone.masks->logits(1, rows).equal(goal.masks->logits(1, rows)));
  }
}

TEST(Stages, PiecesHavePredictionsOfTheirOwn) {
  Staged whole(""), pieces(", piece_frames = 2");
  const ClipBatch batch = stage_clips();
  const at::NoGradGuard no_grad;
  const VisModel::Output of_clips = whole.model->forward(batch, {}),
                         of_pieces = pieces.model->forward(batch, {});
  EXPECT_EQ(of_pieces.last().piece_frames, 2);
  const LayerPrediction &clip = of_clips.last().predictions.last(),
                        &piece = of_pieces.last().predictions.last();
  const at::Tensor rows = at::arange(stage_parts::kQueries);
  EXPECT_EQ(piece.boxes.sizes(), at::IntArrayRef({4, 2, stage_parts::kQueries, 4}));
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(piece.boxes[i].allclose(clip.boxes[i / 2].narrow(0, 2 * (i % 2), 2)));
    EXPECT_TRUE(piece.masks->logits(i, rows).allclose(
        clip.masks->logits(i / 2, rows).narrow(1, 2 * (i % 2), 2), 1e-4, 1e-5));
  }
  // Embeddings are over clips.
  EXPECT_TRUE(of_pieces.last().embeddings.layers.back().frame.equal(
      of_clips.last().embeddings.layers.back().frame));
  EXPECT_EQ(pieces.model->stage_facts(0).clip.num_frames, 2);
  EXPECT_EQ(pieces.model->facts().clip.num_frames, kFrames);
  EXPECT_NE(composing_error([] { Staged(", piece_frames = 3"); }).find("data.num_frames"),
            std::string::npos);
}

TEST(Stages, CopiesOfAClipShareTheHeadsOfTheirLayers) {
  Staged staged(", copies = 3");
  const VisModel::Output output = staged.model->forward(stage_clips(), {});
  const auto& layers = output.last().predictions.layers;
  ASSERT_EQ(layers.size(), 6u);
  EXPECT_TRUE(layers[1].classes.logits.equal(layers[5].classes.logits));
}

TEST(Stages, WindowsWithAStateAreOneVideo) {
  Staged staged("", {", keeps_state = true"});
  VisModel& model = *staged.model;
  const ClipBatch batch = stage_clips();
  const at::NoGradGuard no_grad;
  for (const bool half : {false, true}) {
    ForwardContext context;
    if (half) context.autocast = at::kBFloat16;
    const FeaturePyramid pyramid = model.features(batch, context);
    const auto window = [&](int64_t first, const std::vector<VideoState>* states) {
      FeaturePyramid some = pyramid;
      for_each_tensor(some, [&](at::Tensor& tensor, Leading leading) {
        if (leading == Leading::frames && tensor.defined()) tensor = tensor.narrow(1, first, 2);
      });
      return model.predict(some, context, states);
    };
    const VisModel::Output first = window(0, nullptr);
    ASSERT_EQ(first.states.size(), 2u);
    EXPECT_TRUE(first.states[0].is_start());
    EXPECT_EQ(first.states[1].frames, 2);
    EXPECT_EQ(first.states[1].tensors.at(0).scalar_type(), at::kFloat);
    const at::Tensor before = first.states[1].tensors.at(0).clone();
    const VisModel::Output second = window(2, &first.states);
    EXPECT_TRUE(first.states[1].tensors.at(0).equal(before));  // never changed
    const VisModel::Output whole = model.predict(pyramid, context);
    EXPECT_EQ(second.states[1].frames, whole.states[1].frames);
    const at::Tensor goal = whole.last().embeddings.layers[0].frame.narrow(1, 2, 2);
    const at::Tensor found = second.last().embeddings.layers[0].frame;
    EXPECT_LT(test_support::difference(found, goal), half ? 0.02 : 1e-6);
    EXPECT_GT(test_support::difference(window(2, nullptr).last().embeddings.layers[0].frame, goal),
              0.02);
  }
}

TEST(Stages, RecomputedActivationsGiveTheSameGradients) {
  // Prefix tokens, the rotation and the decoder's pixel features all have gradients.
  Staged staged(
      ", reads_prefix = true, reads_rotation = true, gives_pixels = true, gives_raw = true",
      {", stages = 1, reads_raw = true, gives_pixels = true, piece_frames = 1"});
  const ClipBatch batch = stage_clips();
  const auto expected = gradients_of(*staged.model, batch);
  for (const char* name : {"backbone.prefix", "backbone.angles", "decoder.pixel_scale",
                           "backbone.colours.weight", "stages.stage_1.decoder.pixel_scale"}) {
    ASSERT_TRUE(expected.contains(name)) << name;
    EXPECT_GT(expected.at(name).abs().max().item<double>(), 1e-8) << name;
  }
  for (const Recomputed& what :
       {Recomputed{.backbone = true}, Recomputed{.encoder = true}, Recomputed{.masks = true},
        Recomputed{.masks = true, .mask_rows = 1},
        Recomputed{.backbone = true, .encoder = true, .masks = true}}) {
    staged.model->recompute_activations(what);
    const auto found = gradients_of(*staged.model, batch);
    for (const auto& [name, gradient] : expected) {
      ASSERT_TRUE(found.contains(name)) << name;
      EXPECT_LT(test_support::difference(found.at(name), gradient), 1e-4)
          << name << " backbone " << what.backbone << " encoder " << what.encoder << " masks "
          << what.masks << " rows " << what.mask_rows;
    }
  }
  EXPECT_NE(composing_error([&] {
              staged.model->recompute_activations({.decoder = true});
            }).find("train.recompute"),
            std::string::npos);
}

TEST(Stages, AFrozenStageKeepsItsModeAndNoActivations) {
  Staged staged(", with_norm = true", {", stages = 1, with_norm = true"});
  VisModel& model = *staged.model;
  const ClipBatch batch = stage_clips();
  model.freeze({"backbone", "encoder", "segmenter"}, /*evaluates=*/true);
  model.eval();
  model.train();  // as after each validation
  EXPECT_TRUE(model.is_training());
  EXPECT_FALSE(model.named_modules()["decoder.norm"]->is_training());
  EXPECT_FALSE(model.named_modules()["backbone"]->is_training());
  EXPECT_TRUE(model.named_modules()["stages.stage_1.decoder.norm"]->is_training());
  const at::Tensor statistics = model.named_buffers()["decoder.norm.running_mean"].clone();
  for (const bool recomputes : {false, true}) {
    if (recomputes) model.recompute_activations({.backbone = true, .encoder = true, .masks = true});
    model.zero_grad();
    const VisModel::Output output = model.forward(batch, {}), again = model.forward(batch, {});
    const StageOutput& first = output.stages[0];
    EXPECT_FALSE(output.memory.tokens.requires_grad());
    for (const InstanceLayer& layer : first.embeddings.layers)
      EXPECT_FALSE(layer.frame.requires_grad());
    for (const LayerPrediction& layer : first.predictions.layers) {
      EXPECT_FALSE(layer.classes.logits.requires_grad());
      EXPECT_FALSE(layer.masks->logits(0, at::arange(2)).requires_grad());
    }
    // Without dropout, and with the statistics of before.
    EXPECT_TRUE(
        first.embeddings.layers.back().frame.equal(again.stages[0].embeddings.layers.back().frame));
    EXPECT_FALSE(output.last().embeddings.layers.back().frame.equal(
        again.last().embeddings.layers.back().frame));
    loss_of(output.last()).backward();
    for (const auto& item : model.named_parameters())
      EXPECT_EQ(item.value().grad().defined(), item.key().starts_with("stages.")) << item.key();
  }
  EXPECT_TRUE(model.named_buffers()["decoder.norm.running_mean"].equal(statistics));
}

TEST(Stages, FrozenPartsMayTrainTheirMode) {
  Staged staged(", with_norm = true");
  staged.model->freeze({"segmenter"}, /*evaluates=*/false);
  EXPECT_TRUE(staged.model->named_modules()["decoder.norm"]->is_training());
  EXPECT_FALSE(staged.model->named_parameters()["decoder.queries"].requires_grad());
  EXPECT_FALSE(
      staged.model->named_parameters()["mask_head.mask_embed.layers.0.weight"].requires_grad());
  EXPECT_TRUE(staged.model->named_parameters()["encoder.project.weight"].requires_grad());
  const std::string error = composing_error([&] { staged.model->freeze({"segmentor"}, true); });
  EXPECT_NE(error.find("Did you mean 'segmenter'"), std::string::npos) << error;
  EXPECT_NE(error.find("backbone, encoder, segmenter"), std::string::npos) << error;
}

TEST(Stages, MismatchesNameBothParts) {
  const auto expect_error = [](const std::vector<std::string>& parts,
                               const std::function<void()>& compose) {
    const std::string error = composing_error(compose);
    for (const std::string& part : parts)
      EXPECT_NE(error.find(part), std::string::npos) << part << " in: " << error;
  };
  expect_error({"decoder 'test_decoder'", "encoder 'token_encoder'", "passes on prefix tokens"},
               [] { Staged(", reads_prefix = true", {}, ", passes_prefix = false"); });
  expect_error({"decoder 'test_decoder'", "encoder 'token_encoder'"},
               [] { Staged(", reads_rotation = true", {}, ", passes_prefix = false"); });
  expect_error({"at least 1 earlier stage(s), got 0", "[[model.stages]]"},
               [] { Staged(", stages = 1"); });
  expect_error({"before their last norm (raw)", "stage 'segmenter'"},
               [] { Staged("", {", stages = 1, reads_raw = true"}); });
  expect_error({"identity embeddings", "instance_head 'class_box'"},
               [] { Staged("", {", stages = 1, reads_identity = true"}); });
  expect_error({"model.frames = \"together\""},
               [] { Staged(", keeps_state = true", {}, "", "frames = \"apart\""); });
  expect_error({"decoder 'test_decoder'", "mask_head 'dot_product'", "pixel features"}, [] {
    Staged parts("");
    ModelOnly read;
    ReadContext context(&parts.registry);
    schema_of<ModelOnly>().read(
        &read,
        parse_toml("[model]\nbackbone = \"token_backbone\"\nencoder = \"token_encoder\"\ndecoder = "
                   "{ plugin = \"test_decoder\", gives_pixels = true }\ninstance_head = "
                   "\"class_box\"\nmask_head = { plugin = \"dot_product\", channels = 8 }\n",
                   "test.toml"),
        "", context);
    context.throw_if_failed();
    VisModel(read.model, {kFrames, 5});
  });
}

TEST(Stages, NamesAreCheckedWhenTheFileIsRead) {
  Staged parts("");
  const auto read_with_name = [&](const std::string& name) {
    ModelOnly read;
    ReadContext context(&parts.registry);
    const std::string stage = "[[model.stages]]\nname = \"" + name + "\"\n" + Staged::stage("");
    schema_of<ModelOnly>().read(
        &read,
        parse_toml("[model]\nbackbone = \"token_backbone\"\nencoder = \"token_encoder\"\n" +
                       Staged::stage("") + stage + stage,
                   "test.toml"),
        "", context);
    return composing_error([&] { context.throw_if_failed(); });
  };
  EXPECT_NE(read_with_name("segmenter").find("another name than 'segmenter'"), std::string::npos);
  EXPECT_NE(read_with_name("a.b").find("lower-case letters"), std::string::npos);
  EXPECT_NE(read_with_name("twin").find("got 'twin' twice"), std::string::npos);
}

TEST(Stages, OtherEmbeddingsOfAPredictedLayerAreAnError) {
  Staged staged(", predicts_twice = true");
  try {
    staged.model->forward(stage_clips(), {});
    FAIL() << "expected an error";
  } catch (const PluginError& error) {
    EXPECT_NE(std::string(error.what()).find("the same embeddings in every prediction of layer 0"),
              std::string::npos)
        << error.what();
  }
}

TEST(Stages, UnstatedPixelFeaturesAreAnError) {
  Staged staged(", gives_pixels = true, states_pixels = false");
  EXPECT_THROW(staged.model->forward(stage_clips(), {}), PluginError);
}

TEST(Stages, LazyMasksOutliveTheContext) {
  test_support::Composed composed("smoke/vistr");
  int64_t seen = 0;
  const at::NoGradGuard no_grad;
  VisModel::Output output;
  {
    auto context = std::make_unique<ForwardContext>();
    context->probe = [&seen](const std::string& name, const at::Tensor&) {
      seen += name == "mask_head.attention";
    };
    output = composed.model.forward(composed.batch, *context);
    context->probe = [](const std::string&, const at::Tensor&) { FAIL() << "not a copy"; };
  }
  output.last().predictions.last().masks->logits(0, at::arange(1));
  EXPECT_EQ(seen, 1);
}

}  // namespace
}  // namespace tessera
