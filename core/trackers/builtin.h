#pragma once

#include <vector>

#include "core/plugin/descriptor.h"

namespace tessera {

/// The trackers that live in core, in the order of `plugins list`.
std::vector<const PluginDescriptor*> builtin_trackers();

namespace trackers {
// One function a tracker; builtin_trackers() lists them.
const PluginDescriptor& linked();
const PluginDescriptor& row();
}  // namespace trackers

}  // namespace tessera
