#include "launcher/weights/match_weights.h"

#include <ATen/core/grad_mode.h>

#include <map>
#include <set>

#include "core/structures/shape.h"
#include "launcher/weights/weight_rules.h"

namespace tessera {
namespace {

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

std::string WeightMistakes::text(const std::string& where) const {
  std::string text = where + ": expected exactly the model's tensors, got other ones.";
  auto section = [&](const std::string& title, const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    text += "\n  " + std::to_string(lines.size()) + " " + title + ":";
    for (const auto& line : lines) text += "\n    " + line;
  };
  section("missing (in the model, not in the file)", missing);
  section("unexpected (in the file, not in the model)", unexpected);
  section("given twice after renaming", clashing);
  section("of another shape or type", different);
  return text +
         "\n  Use weights.prefix and weights.rename where names differ, weights.ignore for tensors "
         "of the file to drop, weights.skip for tensors of the model to initialise afresh, "
         "weights.reset for both at once.";
}

void WeightMatch::copy() const {
  const at::NoGradGuard no_grad;
  for (const auto& [ours, theirs] : copies) ours.copy_(theirs);
}

WeightMatch match_weights(const std::vector<NamedTensor>& model, const TensorList& content,
                          const WeightRules& options, const PartAdapter* adapter) {
  RenamedTensors renamed = apply_rules(content, options);
  WeightMatch match;
  LoadReport& report = match.report;
  report.ignored = std::move(renamed.ignored);
  report.ignored.insert(report.ignored.end(), renamed.reset.begin(), renamed.reset.end());
  report.outside_prefix = std::move(renamed.outside_prefix);
  report.unused_patterns = std::move(renamed.unused_patterns);
  match.mistakes.clashing = std::move(renamed.clashing);
  std::map<std::string, const at::Tensor*> tensors;
  if (adapter) report.adapted = adapter->adapt(renamed.tensors);
  for (const auto& [name, tensor] : renamed.tensors)
    if (!tensors.emplace(name, &tensor).second)
      match.mistakes.clashing.push_back(name + " (again from the part that adapts it)");
  PatternList skip(options.skip, "skip"), reset(options.reset, "reset");
  for (const auto& [name, tensor, is_parameter, is_memory] : model) {
    const auto found = tensors.find(name);
    const bool is_skipped = skip.matches(name), is_reset = reset.matches(name);
    if (is_skipped || is_reset) {
      report.fresh.push_back(name);
      if (found != tensors.end()) {
        report.ignored.push_back(name);
        tensors.erase(found);
      }
      continue;
    }
    if (found == tensors.end()) {
      match.mistakes.missing.push_back(name + " " + shape_text(tensor.sizes()));
      continue;
    }
    if (const std::string text = difference(tensor, *found->second); !text.empty())
      match.mistakes.different.push_back(name + ": " + text);
    match.copies.emplace_back(tensor, *found->second);
    report.loaded.push_back(name);
    tensors.erase(found);
  }
  skip.list_unused(report.unused_patterns);
  reset.list_unused(report.unused_patterns);
  for (const auto& [name, tensor] : tensors)
    match.mistakes.unexpected.push_back(name + " " + shape_text(tensor->sizes()));
  return match;
}

void add_surroundings(LoadReport& report, const WeightFile& content) {
  // The metadata of a safetensors file is a note, not a part of it.
  if (content.format != "safetensors")
    for (const auto& entry : content.others)
      if (!content.metadata.contains(entry.name)) report.others.push_back(entry.name);
  if (!content.unused_key.empty())
    report.unused_patterns.push_back("key '" + content.unused_key + "' (the file is one table)");
}

}  // namespace tessera
