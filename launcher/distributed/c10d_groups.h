#pragma once

#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "launcher/distributed/communicator.h"

namespace tessera {

struct Communicator::Groups {
  std::string store_host;
  uint16_t store_port = 0;
  c10::intrusive_ptr<c10d::TCPStore> store;
  c10::intrusive_ptr<c10d::ProcessGroup> group;
};

}  // namespace tessera
