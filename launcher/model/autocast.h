#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/structures/predictions.h"

namespace tessera {

/// What `train.autocast` and `inference.autocast` may say.
std::vector<std::string> autocast_names();

/// The type that one of these names stands for.
std::optional<at::ScalarType> autocast_type(const std::string& name);

/// While it lives, operators on a device of this kind that gain from it (products, convolutions,
/// attention) run in `type`, the others as torch's autocast lists say; weights stay as they are.
/// Without a type it leaves everything alone. Casts of weights are kept until the outermost one
/// ends.
class AutocastScope {
 public:
  AutocastScope(std::optional<at::ScalarType> type, at::Device device);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool on_;
  at::DeviceType device_;
  bool before_ = false;
  at::ScalarType type_before_ = at::ScalarType::Float;
};

/// Masks that are computed in `type` and given in float32; `source` itself without a type.
std::shared_ptr<const MaskSource> in_full_precision(std::shared_ptr<const MaskSource> source,
                                                    std::optional<at::ScalarType> type,
                                                    at::Device device);

}  // namespace tessera
