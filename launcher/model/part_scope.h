#pragma once

#include <ATen/record_function.h>

#include <string>
#include <string_view>
#include <utility>

namespace tessera {

/// While it lives, profilers, MacCounter and PartTimes count for the part of this name:
/// RECORD_USER_SCOPE for a name that is made at run time ("stages.tracker.decoder").
class PartScope {
 public:
  explicit PartScope(std::string part)
      : part_(std::move(part)), record_(at::RecordScope::USER_SCOPE) {
    if (record_.isActive()) record_.before(std::string_view(part_));
  }

 private:
  std::string part_;  // outlives the record, which may refer to it
  at::RecordFunction record_;
};

}  // namespace tessera
