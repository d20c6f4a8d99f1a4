#include "core/losses/builtin.h"

#include "core/losses/builtin_terms.h"

namespace tessera {

std::vector<const PluginDescriptor*> builtin_losses() {
  using namespace losses;
  return {
      &box_giou(),    &box_l1(),      &cardinality_error(), &cell_class(), &class_cross_entropy(),
      &class_error(), &class_focal(), &mask_bce(),          &mask_dice(),  &mask_focal()};
}

}  // namespace tessera
