#pragma once

#include <cstdint>
#include <string>

#include "core/config/schema.h"

namespace tessera {

/// `[train.distributed]`: how several processes train as one. Nothing here matters to one process.
struct DistributedOptions {
  int64_t bucket_mib = 25;
  bool overlap = true;
  std::string compression = "none";
  double heartbeat_timeout = 20;
  double progress_timeout = 600;
  std::string interface;
  static void describe(Schema<DistributedOptions>& schema);
};

}  // namespace tessera
