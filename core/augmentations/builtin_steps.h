#pragma once

#include "core/plugin/descriptor.h"

// One function a step; builtin.cpp lists them.
namespace tessera::augmentations {
const PluginDescriptor& crop();
const PluginDescriptor& flip();
const PluginDescriptor& flip_vertical();
const PluginDescriptor& photometric();
const PluginDescriptor& resize();
const PluginDescriptor& reverse_time();
const PluginDescriptor& shuffle_channels();
}  // namespace tessera::augmentations
