#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace tessera {

/// What a step of AdaBelief needs besides tensors.
struct AdaBeliefRates {
  double lr = 0, weight_decay = 0, beta1 = 0, beta2 = 0, eps = 0;
  bool rectify = true;
};

/// AdaBelief (Zhuang et al. 2020) as its authors' package 0.2.1 steps by default: decay decoupled
/// from the gradient, `eps` added into the stored variance at every step. With `rectify` the rate
/// is RAdam's (Liu et al. 2020): plain momentum while the variance rests on fewer than 5 effective
/// steps (the first five at beta2 = 0.999), and no other correction of the variance.
/// `step` counts from 1. In place: `parameters`, `means` (of gradients), `variances` (of gradients
/// around their mean). In float32 on a CPU the stored cases (12 steps) give the authors' parameters
/// and running means bit for bit.
void adabelief_step(const std::vector<at::Tensor>& parameters,
                    const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& means,
                    const std::vector<at::Tensor>& variances, double step,
                    const AdaBeliefRates& rates);

}  // namespace tessera
