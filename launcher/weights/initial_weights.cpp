#include "launcher/weights/initial_weights.h"

#include <set>

#include "core/error.h"
#include "launcher/weights/weight_rules.h"

namespace tessera {
namespace {

/// Whether training leaves a tensor as it is. A norm whose scale is a buffer has constant scales.
bool is_frozen(const NamedTensor& tensor) {
  if (tensor.is_parameter) return !tensor.tensor.requires_grad();
  return tensor.tensor.is_floating_point() &&
         (tensor.name.ends_with(".weight") || tensor.name.ends_with(".bias"));
}

}  // namespace

void expect_initial_weights(const WeightsOptions& options, const std::string& experiment) {
  if (options.init || !options.files.empty() || options.from_scratch || options.starts_from.empty())
    return;
  throw ConfigError(
      "weights.init: expected the weights that this recipe starts from, got none. "
      "Give them: tessera train " +
      experiment + " --weights " + options.starts_from +
      " (docs/weights.md says what this file is). --from-scratch trains without.");
}

void expect_no_random_frozen_part(const VisModel& model, NameStyle style,
                                  const std::vector<std::string>& loaded,
                                  const std::vector<std::string>& frozen,
                                  const WeightsOptions& options) {
  if (options.from_scratch) return;
  const std::set<std::string> has_weights(loaded.begin(), loaded.end());
  PatternList patterns(frozen, "frozen");
  const auto canonical = model.named_tensors();
  const auto shown = model.named_tensors(style);  // in the same order
  std::vector<std::string> random;
  for (size_t i = 0; i < canonical.size(); ++i) {
    const bool is_fixed = is_frozen(canonical[i]) ||
                          (canonical[i].is_parameter && patterns.matches(canonical[i].name));
    if (is_fixed && !has_weights.contains(shown[i].name)) random.push_back(canonical[i].name);
  }
  if (random.empty()) return;
  constexpr size_t kMostNamed = 3;
  const size_t count = random.size();
  if (count > kMostNamed) random.resize(kMostNamed);
  throw ConfigError(
      "weights: expected weights for every frozen part, which would stay random, got "
      "none for " +
      std::to_string(count) + " tensors (" + join(random) + (count > kMostNamed ? ", ..." : "") +
      "). Give --weights FILE that has them, train them (frozen_stages, norm, "
      "train.frozen, train.frozen_parts), or pass --from-scratch.");
}

}  // namespace tessera
