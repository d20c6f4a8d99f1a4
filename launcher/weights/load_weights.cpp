#include "launcher/weights/load_weights.h"

#include <ATen/core/grad_mode.h>

#include "core/error.h"
#include "launcher/weights/match_weights.h"
#include "launcher/weights/weight_rules.h"

namespace tessera {

std::string LoadReport::text() const {
  std::string text = "loaded " + std::to_string(loaded.size()) + " tensors";
  auto section = [&](const std::string& title, const std::vector<std::string>& names) {
    if (!names.empty()) text += "; " + title + ": " + join(names);
  };
  section("freshly initialised on purpose", fresh);
  section("adapted by their parts", adapted);
  section("in place of an earlier file's", replaced);
  section("dropped from the file on purpose", ignored);
  if (!outside_prefix.empty())
    text +=
        "; " + std::to_string(outside_prefix.size()) + " keys of the file are outside the prefix";
  section("beside the weights", others);
  section("rules that matched nothing", unused_patterns);
  if (!note.empty()) text += "; " + note;
  return text;
}

LoadReport load_weights(const std::vector<NamedTensor>& model, const TensorList& content,
                        const std::string& where, const WeightsOptions& options) {
  WeightMatch match = match_weights(model, content, options);
  if (!match.mistakes.empty()) throw DataError(match.mistakes.text(where));
  match.copy();
  return std::move(match.report);
}

LoadReport load_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                        const WeightsOptions& options) {
  const WeightFile content = read_weights(file, options.key, KeyUse::kIfTables);
  refuse_unsupported(needed(content.unsupported, options), file.string());
  LoadReport report = load_weights(model, content.tensors, file.string(), options);
  add_surroundings(report, content);
  return report;
}

void save_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata) {
  TensorList tensors;
  for (const NamedTensor& tensor : model)
    if (!is_training_only(tensor.name)) tensors.emplace_back(tensor.name, tensor.tensor);
  write_safetensors(file, tensors, metadata);
}

void save_weights(const VisModel& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata) {
  save_weights(model.named_tensors(), file, metadata);
}

}  // namespace tessera
