#pragma once

#include <chrono>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace tessera {

/// The one function of libtessera_nccl.so, which is loaded when a GPU trains with others.
using MakeNcclBackend = c10::intrusive_ptr<c10d::Backend>(c10::intrusive_ptr<c10d::Store> store,
                                                          int rank, int size,
                                                          std::chrono::milliseconds timeout);
inline constexpr const char* kMakeNcclBackend = "tessera_make_nccl_backend";

}  // namespace tessera
