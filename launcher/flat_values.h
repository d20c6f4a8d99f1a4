#pragma once

#include <map>
#include <string>

#include "core/config/config_node.h"

namespace tessera {

/// Every value of a table by its dotted path ("model.encoder.num_layers"), as TOML text; lists are
/// values, empty tables are left out.
std::map<std::string, std::string> flat_values(const ConfigNode& table);

}  // namespace tessera
