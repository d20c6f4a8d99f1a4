#include "core/trackers/builtin.h"

namespace tessera {

std::vector<const PluginDescriptor*> builtin_trackers() {
  return {&trackers::linked(), &trackers::row()};
}

}  // namespace tessera
