#pragma once

#include "core/plugin/descriptor.h"

// One function a sampler; builtin.cpp lists them.
namespace tessera::samplers {
const PluginDescriptor& around_frame();
const PluginDescriptor& near_and_far();
const PluginDescriptor& uniform_window();
const PluginDescriptor& whole_video();
const PluginDescriptor& window_ending_at();
}  // namespace tessera::samplers
