#pragma once
// Parts of the structures that travel through a model: all tensors of one are changed alike.

#include <ATen/ATen.h>

#include "core/structures/features.h"
#include "core/structures/predictions.h"

namespace tessera {

/// in: change(tensor, leading) gives the tensor that takes the place of a defined one.
template <class Structure, class Change>
Structure changed(Structure structure, Change&& change) {
  for_each_tensor(structure, [&change](at::Tensor& tensor, Leading leading) {
    if (tensor.defined()) tensor = change(tensor, leading);
  });
  return structure;
}

/// One clip of a batch, as a view with B = 1.
template <class Structure>
Structure clip_of(const Structure& structure, int64_t clip) {
  return changed(structure, [clip](const at::Tensor& tensor, Leading leading) {
    return leading == Leading::none ? tensor : tensor.narrow(0, clip, 1);
  });
}

/// Some frames of all clips, as a view.
template <class Structure>
Structure frames_of(const Structure& structure, int64_t first, int64_t count) {
  return changed(structure, [first, count](const at::Tensor& tensor, Leading leading) {
    return leading == Leading::frames ? tensor.narrow(1, first, count) : tensor;
  });
}

template <class Structure>
Structure moved(const Structure& structure, at::Device device) {
  return changed(structure,
                 [device](const at::Tensor& tensor, Leading) { return tensor.to(device); });
}

}  // namespace tessera
