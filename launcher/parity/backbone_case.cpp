#include <ATen/ATen.h>

#include "core/error.h"
#include "launcher/experiment.h"
#include "launcher/parity/model_case.h"
#include "launcher/weights/load_weights.h"

namespace tessera::parity {

bool is_backbone_case(const Case& c) {
  if (!c.kind.empty()) return c.kind == "backbone";
  return c.outputs.contains("stage0");
}

std::string table_name(const Case& c) {
  if (is_learning_rate_case(c)) return c.system + "_learning_rates";
  return is_backbone_case(c) ? "backbones" : c.system;
}

std::vector<Comparison> check_backbone_case(const Case& c, const Table& table, Registry& registry,
                                            at::ScalarType type) {
  const Experiment experiment = load_experiment(table.experiment, overrides_of(c, table), registry);
  BuildContext build;
  build.clip = experiment.clip_facts();
  const std::shared_ptr<Backbone> backbone = build.make(experiment.model.backbone);
  backbone->eval();
  std::vector<NamedTensor> names;
  for (const auto& item : backbone->named_parameters())
    names.push_back({item.key(), item.value(), true});
  for (const auto& item : backbone->named_buffers())
    names.push_back({item.key(), item.value(), false});
  load_weights(names, generated_weights(c).tensors, c.folder.string(), {});
  backbone->to(type);

  const auto frames = c.inputs.find("frames");
  if (frames == c.inputs.end())
    throw DataError(c.folder.string() + "/inputs.safetensors: expected 'frames', got none.");
  ClipBatch batch;
  // [1,T,3,H,W]; stored with or without the batch axis.
  batch.frames =
      (frames->second.dim() == 5 ? frames->second : frames->second.unsqueeze(0)).to(type);
  batch.padding_mask =
      at::zeros({1, batch.frames.size(1), batch.frames.size(3), batch.frames.size(4)}, at::kBool);
  batch.meta.resize(1);
  std::map<std::string, at::Tensor> ours;
  ForwardContext context;
  context.probe = [&](const std::string& name, const at::Tensor& value) { ours[name] = value; };
  const at::NoGradGuard no_grad;
  const FeaturePyramid pyramid = backbone->forward(batch, context);
  for (size_t i = 0; i < pyramid.levels.size(); ++i)
    ours["stage" + std::to_string(i)] = pyramid.levels[i].features;

  std::vector<Comparison> results;
  for (const auto& [name, expected] : c.outputs) {
    const auto found = ours.contains(name) ? ours.find(name) : ours.find("backbone." + name);
    if (found == ours.end()) {
      Comparison failed;
      failed.name = name;
      failed.problem = "expected a level or a probe of the backbone";
      results.push_back(failed);
      continue;
    }
    ToleranceRules tolerance;
    tolerance.rounding = c.rounding(name);
    results.push_back(compare(name, found->second, expected, tolerance));
  }
  return results;
}

}  // namespace tessera::parity
