#pragma once

#include "core/plugin/descriptor.h"

// One function a term; builtin.cpp lists them.
namespace tessera::losses {
const PluginDescriptor& box_giou();
const PluginDescriptor& box_l1();
const PluginDescriptor& cardinality_error();
const PluginDescriptor& cell_class();
const PluginDescriptor& class_cross_entropy();
const PluginDescriptor& class_error();
const PluginDescriptor& class_focal();
const PluginDescriptor& mask_bce();
const PluginDescriptor& mask_dice();
const PluginDescriptor& mask_focal();
}  // namespace tessera::losses
