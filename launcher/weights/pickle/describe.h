#pragma once

#include <string>

#include "launcher/weights/pickle/value.h"

namespace tessera::pickle {

/// A value in a few words, for a list of what stands beside the weights: "integer 12",
/// "text 'coco'", "table of 3: lr, epochs, output_dir". At most a few hundred characters.
std::string describe(const Pickle& pickle, ValueId id);

/// Longer names are cut: no weight file has them, and a hostile one repeats them at no cost.
inline constexpr size_t kLongestName = 1000;  // bytes

/// A key of a mapping as UTF-8 text, cut; a number as its digits; anything else in words.
std::string key_text(const Pickle& pickle, ValueId id);

}  // namespace tessera::pickle
