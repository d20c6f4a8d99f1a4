#pragma once
// Clips that are cut into pieces, one place in the clip after the other.

#include "core/structures/clip.h"
#include "core/structures/predictions.h"

namespace tessera {

/// The entries `first`, `first + step`, ... of dimension 0: with B clips of `step` pieces each, the
/// piece `first` of every clip. Views.
LayerPrediction every_nth(const LayerPrediction& prediction, int64_t first, int64_t step);

/// The same of a list over pieces.
template <class T>
std::vector<T> every_nth(const std::vector<T>& all, int64_t first, int64_t step) {
  std::vector<T> some;
  for (size_t i = static_cast<size_t>(first); i < all.size(); i += static_cast<size_t>(step))
    some.push_back(all[i]);
  return some;
}

}  // namespace tessera
