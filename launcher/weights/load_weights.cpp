#include "launcher/weights/load_weights.h"

#include <ATen/core/grad_mode.h>

#include <map>
#include <regex>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/weights/patterns.h"

namespace tessera {
namespace {

/// A list of patterns that remembers which of them ever matched.
class PatternList {
 public:
  PatternList(const std::vector<std::string>& patterns, const std::string& field) {
    for (const auto& pattern : patterns)
      entries_.push_back(
          {compile_pattern(pattern, "weights." + field), field + " '" + pattern + "'"});
  }
  bool matches(const std::string& name) {
    bool any = false;
    for (auto& entry : entries_) {
      if (!std::regex_search(name, entry.pattern)) continue;
      entry.used = any = true;
    }
    return any;
  }
  void list_unused(std::vector<std::string>& unused) const {
    for (const auto& entry : entries_)
      if (!entry.used) unused.push_back(entry.text);
  }

 private:
  struct Entry {
    std::regex pattern;
    std::string text;
    bool used = false;
  };
  std::vector<Entry> entries_;
};

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

/// The file's tensors under the model's names.
std::map<std::string, const at::Tensor*> renamed(const SafetensorsFile& file,
                                                 const WeightsOptions& options, LoadReport& report,
                                                 Mistakes& mistakes) {
  PatternList ignore(options.ignore, "ignore");
  std::vector<std::pair<std::regex, bool>> rules;
  for (const auto& rule : options.rename)
    rules.emplace_back(compile_pattern(rule.from, "weights.rename"), false);
  std::map<std::string, const at::Tensor*> tensors;
  for (const auto& [key, tensor] : file.tensors) {
    if (!key.starts_with(options.prefix)) {
      report.outside_prefix.push_back(key);
      continue;
    }
    std::string name = key.substr(options.prefix.size());
    if (ignore.matches(name)) {
      report.ignored.push_back(key);
      continue;
    }
    for (size_t i = 0; i < rules.size(); ++i) {
      if (!std::regex_search(name, rules[i].first)) continue;
      rules[i].second = true;
      name = std::regex_replace(name, rules[i].first, options.rename[i].to);
    }
    if (!tensors.emplace(name, &tensor).second)
      mistakes.clashing.push_back(name + " (again from '" + key + "')");
  }
  ignore.list_unused(report.unused_patterns);
  for (size_t i = 0; i < rules.size(); ++i)
    if (!rules[i].second)
      report.unused_patterns.push_back("rename '" + options.rename[i].from + "'");
  return tensors;
}

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
  section("rules that matched nothing", unused_patterns);
  return text;
}

LoadReport load_weights(const std::vector<NamedTensor>& model, const SafetensorsFile& content,
                        const std::string& where, const WeightsOptions& options) {
  LoadReport report;
  Mistakes mistakes;
  auto tensors = renamed(content, options, report, mistakes);
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
  return load_weights(model, read_safetensors(file), file.string(), options);
}

LoadReport load_weights(VisModel& model, const std::filesystem::path& file,
                        const WeightsOptions& options) {
  return load_weights(model.named_tensors(), file, options);
}

void save_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata) {
  TensorList tensors;
  for (const auto& [name, tensor, is_parameter] : model)
    if (!name.starts_with(kTrainingOnly)) tensors.emplace_back(name, tensor);
  write_safetensors(file, tensors, metadata);
}

void save_weights(const VisModel& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata) {
  save_weights(model.named_tensors(), file, metadata);
}

}  // namespace tessera
