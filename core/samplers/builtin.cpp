#include "core/samplers/builtin.h"

#include "core/samplers/builtin_samplers.h"

namespace tessera {

std::vector<const PluginDescriptor*> builtin_samplers() {
  using namespace samplers;
  return {&around_frame(), &near_and_far(), &uniform_window(), &whole_video(), &window_ending_at()};
}

}  // namespace tessera
