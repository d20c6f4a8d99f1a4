#pragma once

#include <string>

namespace tessera::evaluation {

inline constexpr double kUndefined = -1;  // a number without any ground truth

struct Stat {
  std::string name;
  double value = kUndefined;
};

}  // namespace tessera::evaluation
