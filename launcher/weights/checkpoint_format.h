#pragma once
// Names in the files that training writes: `checkpoint-<iteration>.safetensors`, and the weights in
// it, which other commands may read.

#include <string_view>

namespace tessera {

inline constexpr std::string_view kCheckpointFormat = "tessera-checkpoint-1";  // metadata "format"
inline constexpr std::string_view kCheckpointModel = "model.";    // before the model's tensors
inline constexpr std::string_view kCheckpointAverage = "ema.";    // before averaged weights
inline constexpr std::string_view kCategoriesKey = "categories";  // metadata, see categories.h

}  // namespace tessera
