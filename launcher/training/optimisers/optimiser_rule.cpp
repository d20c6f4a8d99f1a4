#include "launcher/training/optimisers/optimiser_rule.h"

namespace tessera {

const std::vector<OptionKind<OptimiserRule>>& OptimiserRule::kinds() {
  static const std::vector<OptionKind<OptimiserRule>> kinds{adamw_kind(), adam_kind(), sgd_kind(),
                                                            adabelief_kind()};
  return kinds;
}

}  // namespace tessera
