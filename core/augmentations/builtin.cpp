#include "core/augmentations/builtin.h"

#include "core/augmentations/builtin_steps.h"

namespace tessera {

std::vector<const PluginDescriptor*> builtin_augmentations() {
  using namespace augmentations;
  return {&crop(),   &flip(),         &flip_vertical(),   &photometric(),
          &resize(), &reverse_time(), &shuffle_channels()};
}

}  // namespace tessera
