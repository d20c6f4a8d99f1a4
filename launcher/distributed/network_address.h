#pragma once

#include <string>

namespace tessera {

/// The address under which other machines reach this one: that of `interface`, or, where it is
/// empty, the first of an interface that is up and no loopback, one that the machine's own name
/// stands for before the rest. Throws ConfigError listing the interfaces where there is none.
std::string own_address(const std::string& interface);

/// The own address that a connection to `host` leaves from; `host` where it cannot be found out.
std::string address_towards(const std::string& host);

}  // namespace tessera
