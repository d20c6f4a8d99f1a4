#pragma once

#include <string>
#include <utility>
#include <vector>

#include "launcher/weights/load_weights.h"
#include "launcher/weights/part_adapter.h"

namespace tessera {

/// Everything that is wrong with a file, so that one run shows it all.
struct WeightMistakes {
  std::vector<std::string> missing, unexpected, clashing, different;

  bool empty() const { return count() == 0; }
  size_t count() const {
    return missing.size() + unexpected.size() + clashing.size() + different.size();
  }
  /// "<where>: expected exactly the model's tensors, got other ones." with all of them.
  std::string text(const std::string& where) const;
};

/// How a file's tensors fit a model's, before anything is copied.
struct WeightMatch {
  LoadReport report;
  WeightMistakes mistakes;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // model's tensor, file's tensor

  /// Copies the file's numbers into the model. Only for a match without mistakes.
  void copy() const;
};

/// Applies the rules of `options` to a file's tensors, has `adapter` change them, and compares
/// names, shapes and types with the model's. Throws ConfigError for a malformed pattern, and what a
/// part of the model throws that adapts tensors.
WeightMatch match_weights(const std::vector<NamedTensor>& model, const TensorList& content,
                          const WeightRules& options, const PartAdapter* adapter = nullptr);

/// Adds what stands beside the tensors, and a key that the file has no tables for.
void add_surroundings(LoadReport& report, const WeightFile& content);

}  // namespace tessera
