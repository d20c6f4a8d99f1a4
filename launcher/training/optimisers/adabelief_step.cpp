#include "launcher/training/optimisers/adabelief_step.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_foreach_sub.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace tessera {
namespace {

using Tensors = std::vector<at::Tensor>;

void step_all(const Tensors& parameters, const Tensors& gradients, const Tensors& means,
              const Tensors& variances, double step, const AdaBeliefRates& rates) {
  if (rates.weight_decay != 0) at::_foreach_mul_(parameters, 1.0 - rates.lr * rates.weight_decay);
  at::_foreach_mul_(means, rates.beta1);
  at::_foreach_add_(means, gradients, 1.0 - rates.beta1);
  const Tensors surprise = at::_foreach_sub(gradients, means);
  at::_foreach_mul_(variances, rates.beta2);
  at::_foreach_addcmul_(variances, surprise, surprise, 1.0 - rates.beta2);
  at::_foreach_add_(variances, rates.eps);

  const double correction1 = 1.0 - std::pow(rates.beta1, step),
               power2 = std::pow(rates.beta2, step), correction2 = 1.0 - power2;
  if (!rates.rectify) {
    Tensors deviation = at::_foreach_sqrt(variances);
    at::_foreach_div_(deviation, std::sqrt(correction2));
    at::_foreach_add_(deviation, rates.eps);
    at::_foreach_addcdiv_(parameters, means, deviation, -rates.lr / correction1);
    return;
  }
  const double longest = 2.0 / (1.0 - rates.beta2) - 1.0,
               length = longest - 2.0 * step * power2 / correction2;
  if (length < 5.0) {
    at::_foreach_add_(parameters, means, -rates.lr / correction1);
    return;
  }
  const double rectification = std::sqrt(correction2 * (length - 4.0) / (longest - 4.0) *
                                         (length - 2.0) / length * longest / (longest - 2.0));
  Tensors deviation = at::_foreach_sqrt(variances);
  at::_foreach_add_(deviation, rates.eps);
  at::_foreach_addcdiv_(parameters, means, deviation, -rates.lr * rectification / correction1);
}

/// Numbers of a parameter that a core's cache holds together with gradient and state.
constexpr int64_t kPiece = 65536;

bool can_be_cut(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.is_contiguous() && tensor.numel() > kPiece;
}

}  // namespace

void adabelief_step(const Tensors& parameters, const Tensors& gradients, const Tensors& means,
                    const Tensors& variances, double step, const AdaBeliefRates& rates) {
  // Each operator passes over all it is given: large tensors on a CPU go piece by piece.
  Tensors whole[4];
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor one[] = {parameters[i], gradients[i], means[i], variances[i]};
    if (!std::all_of(std::begin(one), std::end(one), can_be_cut)) {
      for (size_t k = 0; k < 4; ++k) whole[k].push_back(one[k]);
      continue;
    }
    Tensors pieces[4];
    for (size_t k = 0; k < 4; ++k) pieces[k] = one[k].view(-1).split(kPiece);
    for (size_t piece = 0; piece < pieces[0].size(); ++piece)
      step_all({pieces[0][piece]}, {pieces[1][piece]}, {pieces[2][piece]}, {pieces[3][piece]}, step,
               rates);
  }
  if (!whole[0].empty()) step_all(whole[0], whole[1], whole[2], whole[3], step, rates);
}

}  // namespace tessera
