#include <ATen/ATen.h>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/model/autocast.h"
#include "launcher/weights/model_weights.h"
#include "launcher/weights/safetensors.h"

namespace tessera::commands {
namespace {

struct ForwardArguments {
  ExperimentArguments experiment;
  std::string weights, rules, input, output;
};

ClipBatch read_batch(const std::string& file) {
  const SafetensorsFile stored = read_safetensors(file);
  const at::Tensor* frames = stored.find("frames");
  if (!frames)
    throw DataError(file + ": expected a tensor 'frames' [B,T,3,H,W] or [T,3,H,W], got none.");
  ClipBatch batch;
  batch.frames = frames->dim() == 4 ? frames->unsqueeze(0) : *frames;
  ShapeBinding sizes;
  expect_shape(batch.frames, "[B,T,3,H,W]", file + ": frames", sizes);
  if (const at::Tensor* mask = stored.find("padding_mask"))
    batch.padding_mask = (mask->dim() == 3 ? mask->unsqueeze(0) : *mask).to(at::kBool);
  else
    batch.padding_mask = at::zeros({sizes['B'], sizes['T'], sizes['H'], sizes['W']}, at::kBool);
  expect_shape(batch.padding_mask, "[B,T,H,W]", file + ": padding_mask", sizes);
  batch.meta.resize(sizes['B']);
  for (ClipMeta& meta : batch.meta) {
    meta.height = meta.original_height = sizes['H'];
    meta.width = meta.original_width = sizes['W'];
  }
  return batch;
}

void run_forward(const ForwardArguments& arguments) {
  Registry registry(Registry::default_search_paths());
  const Experiment experiment = arguments.experiment.load(registry);
  const ClipBatch batch = read_batch(arguments.input);
  VisModel model(experiment.model, experiment.clip_facts());
  model.eval();
  load_finished_weights(model, arguments.weights, chosen_rules(experiment.weights, arguments.rules),
                        rule_tables_near(arguments.experiment.file));
  at::NoGradGuard no_grad;
  ForwardContext context;
  context.autocast = autocast_type(experiment.inference.autocast);
  const VisModel::Output output = model.forward(batch, context);
  TensorList tensors;
  const int64_t last = static_cast<int64_t>(output.last().predictions.layers.size()) - 1;
  for (int64_t i = 0; i <= last; ++i) {
    const LayerPrediction& layer = output.last().predictions.layers[i];
    const std::string prefix = i == last ? "" : "aux_" + std::to_string(i) + ".";
    tensors.emplace_back(prefix + "pred_logits", layer.classes.logits);
    if (layer.boxes.defined()) tensors.emplace_back(prefix + "pred_boxes", layer.boxes);
  }
  std::vector<at::Tensor> masks;
  const at::Tensor rows = at::arange(output.last().predictions.last().classes.logits.size(-2));
  for (int64_t clip = 0; clip < batch.frames.size(0); ++clip)
    masks.push_back(output.last().predictions.last().masks->logits(clip, rows));
  tensors.emplace_back("pred_masks", at::stack(masks));
  write_safetensors(arguments.output, tensors);
}

}  // namespace

void add_forward(CLI::App& app) {
  auto* command = app.add_subcommand("forward", "Run the model once on tensors from a file");
  auto arguments = std::make_shared<ForwardArguments>();
  arguments->experiment.add_to(*command);
  command->add_option("--weights", arguments->weights, "Weights (safetensors, .pth or .pkl)")
      ->required();
  add_rules_option(*command, arguments->rules);
  command
      ->add_option("--input", arguments->input,
                   "frames [B,T,3,H,W], padding_mask [B,T,H,W] (safetensors)")
      ->required();
  command
      ->add_option(
          "--output", arguments->output,
          "pred_logits [B,T,Q,C], pred_boxes [B,T,Q,4], pred_masks [B,Q,T,h,w] (safetensors)")
      ->required();
  command->footer(
      "Example: tessera forward experiments/vistr_r50.toml --weights w.safetensors --input "
      "in.safetensors "
      "--output out.safetensors");
  command->callback([arguments] { run_forward(*arguments); });
}

}  // namespace tessera::commands
