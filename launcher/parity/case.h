#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "launcher/weights/safetensors.h"

namespace tessera::parity {

/// A folder of the reference data: what was computed, from what.
struct Case {
  std::filesystem::path folder;
  std::string system, name;
  std::string kind;  // "backbone", "model", "operator", ...: what the case states, or ""
  int64_t seed = 0;
  nlohmann::json config;
  nlohmann::json numerics;
  std::map<std::string, std::string> aliases;  // name -> the tensor it shares
  std::map<std::string, at::Tensor> inputs, outputs;

  /// One of `inputs`. Throws DataError naming the file where there is none.
  const at::Tensor& input(const std::string& tensor) const;
  /// numerics.rounding of an output, where the case states it.
  std::optional<double> rounding(const std::string& tensor) const;
  /// `config` with nested objects joined by dots, values as TOML text.
  std::vector<std::pair<std::string, std::string>> flat_config() const;
};

/// Throws DataError naming the file that is missing or broken.
Case read_case(const std::filesystem::path& folder);

/// The weights that generate_weights.py makes of the case's keys and seed, weight_scale applied,
/// aliases left out. Throws DataError with the script's command where it fails.
SafetensorsFile generated_weights(const Case& parity_case);

}  // namespace tessera::parity
