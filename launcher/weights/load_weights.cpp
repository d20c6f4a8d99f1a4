#include "launcher/weights/load_weights.h"

#include <ATen/core/grad_mode.h>

#include <map>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/weights/weight_file.h"
#include "launcher/weights/weight_rules.h"

namespace tessera {
namespace {

/// Everything that is wrong with a file, so that one run shows it all.
struct Mistakes {
  std::vector<std::string> missing, unexpected, clashing, different;

  void throw_if_any(const std::string& file) const {
    if (missing.empty() && unexpected.empty() && clashing.empty() && different.empty()) return;
    std::string text = file + ": expected exactly the model's tensors, got other ones.";
    auto section = [&](const std::string& title, const std::vector<std::string>& lines) {
      if (lines.empty()) return;
      text += "\n  " + std::to_string(lines.size()) + " " + title + ":";
      for (const auto& line : lines) text += "\n    " + line;
    };
    section("missing (in the model, not in the file)", missing);
    section("unexpected (in the file, not in the model)", unexpected);
    section("given twice after renaming", clashing);
    section("of another shape or type", different);
    throw DataError(text +
                    "\n  Use weights.prefix and weights.rename where names differ, "
                    "weights.ignore for tensors of the file to drop, weights.skip for "
                    "tensors of the model to initialise afresh.");
  }
};

std::string difference(const at::Tensor& ours, const at::Tensor& theirs) {
  if (ours.sizes() != theirs.sizes())
    return shape_text(theirs.sizes()) + " in the file, " + shape_text(ours.sizes()) +
           " in the model";
  if (at::isFloatingType(ours.scalar_type()) != at::isFloatingType(theirs.scalar_type()))
    return std::string(c10::toString(theirs.scalar_type())) + " in the file, " +
           c10::toString(ours.scalar_type()) + " in the model";
  return "";
}

}  // namespace

std::string LoadReport::text() const {
  std::string text = "loaded " + std::to_string(loaded.size()) + " tensors";
  auto section = [&](const std::string& title, const std::vector<std::string>& names) {
    if (!names.empty()) text += "; " + title + ": " + join(names);
  };
  section("freshly initialised on purpose", fresh);
  section("dropped from the file on purpose", ignored);
  if (!outside_prefix.empty())
    text +=
        "; " + std::to_string(outside_prefix.size()) + " keys of the file are outside the prefix";
  section("beside the weights", others);
  section("rules that matched nothing", unused_patterns);
  return text;
}

LoadReport load_weights(const std::vector<NamedTensor>& model, const TensorList& content,
                        const std::string& where, const WeightsOptions& options) {
  RenamedTensors renamed = apply_rules(content, options);
  LoadReport report;
  report.ignored = std::move(renamed.ignored);
  report.outside_prefix = std::move(renamed.outside_prefix);
  report.unused_patterns = std::move(renamed.unused_patterns);
  Mistakes mistakes;
  mistakes.clashing = std::move(renamed.clashing);
  std::map<std::string, const at::Tensor*> tensors;
  for (const auto& [name, tensor] : renamed.tensors) tensors.emplace(name, &tensor);
  PatternList skip(options.skip, "skip");
  std::vector<std::pair<at::Tensor, const at::Tensor*>> copies;
  for (const auto& [name, tensor, is_parameter] : model) {
    const auto found = tensors.find(name);
    if (skip.matches(name)) {
      report.fresh.push_back(name);
      if (found != tensors.end()) {
        report.ignored.push_back(name);
        tensors.erase(found);
      }
      continue;
    }
    if (found == tensors.end()) {
      mistakes.missing.push_back(name + " " + shape_text(tensor.sizes()));
      continue;
    }
    if (const std::string text = difference(tensor, *found->second); !text.empty())
      mistakes.different.push_back(name + ": " + text);
    copies.emplace_back(tensor, found->second);
    report.loaded.push_back(name);
    tensors.erase(found);
  }
  skip.list_unused(report.unused_patterns);
  for (const auto& [name, tensor] : tensors)
    mistakes.unexpected.push_back(name + " " + shape_text(tensor->sizes()));
  mistakes.throw_if_any(where);
  const at::NoGradGuard no_grad;
  for (auto& [ours, theirs] : copies) ours.copy_(*theirs);
  return report;
}

LoadReport load_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                        const WeightsOptions& options) {
  const WeightFile content = read_weights(file, options.key);
  LoadReport report = load_weights(model, content.tensors, file.string(), options);
  // The metadata of a safetensors file is a note, not a part of it.
  if (content.format != "safetensors")
    for (const auto& entry : content.others) report.others.push_back(entry.name);
  return report;
}

LoadReport load_weights(VisModel& model, const std::filesystem::path& file,
                        const WeightsOptions& options) {
  return load_weights(model.named_tensors(), file, options);
}

WeightsOptions rules_for_given_file(const std::filesystem::path& file,
                                    const WeightsOptions& experiment) {
  WeightsOptions rules;
  if (!is_pickled(file)) return rules;
  rules = experiment;
  rules.init.reset();
  rules.skip.clear();
  return rules;
}

void save_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata) {
  TensorList tensors;
  for (const auto& [name, tensor, is_parameter] : model)
    if (!is_training_only(name)) tensors.emplace_back(name, tensor);
  write_safetensors(file, tensors, metadata);
}

void save_weights(const VisModel& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata) {
  save_weights(model.named_tensors(), file, metadata);
}

}  // namespace tessera
