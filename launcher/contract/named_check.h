#pragma once

#include <functional>
#include <string>

namespace tessera::contract {

/// One promise of a part.
struct NamedCheck {
  std::string name;
  std::function<void()> body;  // throws where it is broken
};

}  // namespace tessera::contract
