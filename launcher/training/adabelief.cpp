#include "launcher/training/adabelief.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_foreach_sub.h>

#include <cmath>

namespace tessera {

void adabelief_step(const std::vector<at::Tensor>& parameters,
                    const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& means,
                    const std::vector<at::Tensor>& variances, double step,
                    const AdaBeliefRates& rates) {
  if (rates.weight_decay != 0) at::_foreach_mul_(parameters, 1.0 - rates.lr * rates.weight_decay);
  at::_foreach_mul_(means, rates.beta1);
  at::_foreach_add_(means, gradients, 1.0 - rates.beta1);
  const std::vector<at::Tensor> surprise = at::_foreach_sub(gradients, means);
  at::_foreach_mul_(variances, rates.beta2);
  at::_foreach_addcmul_(variances, surprise, surprise, 1.0 - rates.beta2);
  at::_foreach_add_(variances, rates.eps);

  const double correction1 = 1.0 - std::pow(rates.beta1, step),
               power2 = std::pow(rates.beta2, step), correction2 = 1.0 - power2;
  if (!rates.rectify) {
    std::vector<at::Tensor> deviation = at::_foreach_sqrt(variances);
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
  std::vector<at::Tensor> deviation = at::_foreach_sqrt(variances);
  at::_foreach_add_(deviation, rates.eps);
  at::_foreach_addcdiv_(parameters, means, deviation, -rates.lr * rectification / correction1);
}

}  // namespace tessera
