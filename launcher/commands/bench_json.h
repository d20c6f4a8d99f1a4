#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"

namespace tessera::commands {

/// The file that a benchmark's figures go to; none for an empty name. One that cannot be written
/// is said before minutes of work, not after.
class BenchJson {
 public:
  explicit BenchJson(const std::string& name) : name_(name) {
    if (name.empty()) return;
    file_.open(name);
    if (!file_)
      throw RuntimeError("--json: expected a file that can be written, got '" + name + "'.");
  }
  void write(const nlohmann::ordered_json& result) {
    if (!file_.is_open()) return;
    file_ << result.dump(1) << '\n';
    if (!file_.flush())
      throw RuntimeError("--json: expected room for '" + name_ + "', got a failed write.");
  }

 private:
  std::string name_;
  std::ofstream file_;
};

}  // namespace tessera::commands
