#include "launcher/distributed/communicator.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Device.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "core/error.h"
#include "launcher/distributed/c10d_groups.h"
#include "launcher/distributed/nccl_backend.h"
#include "launcher/distributed/network_address.h"

namespace tessera {
namespace {

using Group = c10d::ProcessGroup;

constexpr int64_t kChunkBytes = int64_t{64} << 20;

std::chrono::milliseconds timeout_of(const DistributedOptions& options) {
  // The supervisor ends a job that hangs, and says why; c10d's own limit only comes after it.
  return std::chrono::seconds(static_cast<int64_t>(2 * options.progress_timeout) + 60);
}

c10::intrusive_ptr<c10d::Backend> make_gloo(const Communicator::Groups& groups, int rank, int size,
                                            const DistributedOptions& options) {
  auto gloo = c10d::ProcessGroupGloo::Options::create(timeout_of(options));
  const std::string own = options.interface.empty() ? address_towards(groups.store_host)
                                                    : own_address(options.interface);
  gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(own));
  auto store = c10::make_intrusive<c10d::PrefixStore>("gloo", groups.store);
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, gloo);
}

/// NCCL is in a library of its own, which needs a LibTorch with CUDA.
c10::intrusive_ptr<c10d::Backend> make_nccl(const Communicator::Groups& groups, int rank, int size,
                                            const DistributedOptions& options) {
  void* library = dlopen("libtessera_nccl.so", RTLD_NOW | RTLD_GLOBAL);
  if (!library)
    throw RuntimeError(
        "train: expected libtessera_nccl.so for several processes on GPUs, got '" +
        std::string(dlerror()) +
        "'. Build with a CUDA LibTorch and NCCL's header, or set train.device = \"cpu\".");
  const auto make = reinterpret_cast<MakeNcclBackend*>(dlsym(library, kMakeNcclBackend));
  if (!make)
    throw RuntimeError("libtessera_nccl.so: expected the function " +
                       std::string(kMakeNcclBackend) + ", got none. Build Tessera again.");
  return make(c10::make_intrusive<c10d::PrefixStore>("nccl", groups.store), rank, size,
              timeout_of(options));
}

}  // namespace

Communicator::Communicator() = default;

Communicator::Communicator(const World& world, at::Device device, const DistributedOptions& options)
    : rank_(world.rank()), size_(world.size()) {
  if (size_ == 1) return;
  groups_ = std::make_unique<Groups>();
  const bool one_machine = world.local_size() == world.size();
  c10d::TCPStoreOptions store;
  store.port = 0;
  store.isServer = true;
  store.waitWorkers = false;
  store.timeout = std::chrono::minutes(5);
  if (is_first()) {
    groups_->store_host = one_machine ? "127.0.0.1" : own_address(options.interface);
    groups_->store = c10::make_intrusive<c10d::TCPStore>(groups_->store_host, store);
    groups_->store_port = groups_->store->getPort();
  }
  const std::string place =
      world.from_first(groups_->store_host + " " + std::to_string(groups_->store_port));
  const size_t space = place.find(' ');
  groups_->store_host = place.substr(0, space);
  groups_->store_port = static_cast<uint16_t>(std::stoul(place.substr(space + 1)));
  if (!is_first()) {
    store.port = groups_->store_port;
    store.isServer = false;
    groups_->store = c10::make_intrusive<c10d::TCPStore>(groups_->store_host, store);
  }
  const int rank = static_cast<int>(rank_), size = static_cast<int>(size_);
  groups_->group = c10::make_intrusive<Group>(groups_->store, rank, size);
  groups_->group->setBackend(c10::DeviceType::CPU, Group::BackendType::GLOO,
                             make_gloo(*groups_, rank, size, options));
  groups_->group->setDefaultBackend(Group::BackendType::GLOO);
  if (device.is_cuda())
    groups_->group->setBackend(c10::DeviceType::CUDA, Group::BackendType::NCCL,
                               make_nccl(*groups_, rank, size, options));
}

Communicator::~Communicator() = default;

at::Tensor Communicator::mean(const at::Tensor& value) const {
  if (size_ == 1) return value;
  std::vector<at::Tensor> sum{value.detach().clone()};
  groups_->group->allreduce(sum)->wait();
  return sum[0] / static_cast<double>(size_);
}

double Communicator::maximum(double value) const {
  if (size_ == 1) return value;
  std::vector<at::Tensor> largest{at::scalar_tensor(value, at::kDouble)};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  groups_->group->allreduce(largest, options)->wait();
  return largest[0].item<double>();
}

void Communicator::take_from_first(const std::vector<at::Tensor>& tensors) const {
  if (size_ == 1) return;
  for (const at::Tensor& tensor : tensors) {
    std::vector<at::Tensor> whole{tensor.detach().contiguous()};
    groups_->group->broadcast(whole)->wait();
    if (whole[0].data_ptr() != tensor.data_ptr()) tensor.detach().copy_(whole[0]);
  }
}

std::vector<std::string> Communicator::gather(const std::string& bytes) const {
  if (size_ == 1) return {bytes};
  // Pieces of one size: every rank sends as often as the one that has most.
  const auto longest = static_cast<int64_t>(maximum(static_cast<double>(bytes.size())));
  std::vector<std::string> parts(is_first() ? static_cast<size_t>(size_) : 0);
  for (int64_t start = 0; start < longest; start += kChunkBytes) {
    const int64_t chunk = std::min(kChunkBytes, longest - start);
    const int64_t own = std::clamp<int64_t>(static_cast<int64_t>(bytes.size()) - start, 0, chunk);
    at::Tensor piece = at::empty({chunk + 8}, at::kByte);
    std::memcpy(piece.data_ptr(), &own, sizeof(own));
    if (own > 0)
      std::memcpy(piece.data_ptr<uint8_t>() + 8, bytes.data() + start, static_cast<size_t>(own));
    std::vector<at::Tensor> input{piece};
    std::vector<std::vector<at::Tensor>> output;
    if (is_first()) {
      output.emplace_back();
      for (int64_t i = 0; i < size_; ++i) output[0].push_back(at::empty({chunk + 8}, at::kByte));
    }
    groups_->group->gather(output, input)->wait();
    for (size_t i = 0; i < parts.size(); ++i) {
      int64_t length = 0;
      std::memcpy(&length, output[0][i].data_ptr(), sizeof(length));
      parts[i].append(reinterpret_cast<const char*>(output[0][i].data_ptr<uint8_t>() + 8),
                      static_cast<size_t>(length));
    }
  }
  return parts;
}

at::Tensor Communicator::gather_rows(const at::Tensor& rows) const {
  if (size_ == 1) return rows.detach();
  const auto all_of = [this](const at::Tensor& value) {
    std::vector<at::Tensor> input{value};
    std::vector<std::vector<at::Tensor>> output(1);
    for (int64_t i = 0; i < size_; ++i) output[0].push_back(at::empty_like(value));
    groups_->group->allgather(output, input)->wait();
    return output[0];
  };
  // Tensors of one size are gathered: every rank sends as many rows as the one that has most.
  const std::vector<at::Tensor> counts =
      all_of(at::full({1}, rows.size(0), rows.options().dtype(at::kLong)));
  std::vector<int64_t> of_ranks;
  for (const at::Tensor& count : counts) of_ranks.push_back(count.item<int64_t>());
  std::vector<int64_t> sizes = rows.sizes().vec();
  sizes[0] = *std::max_element(of_ranks.begin(), of_ranks.end());
  at::Tensor padded = at::zeros(sizes, rows.options().requires_grad(false));
  padded.narrow(0, 0, rows.size(0)).copy_(rows.detach());
  std::vector<at::Tensor> all;
  if (sizes[0] > 0) all = all_of(padded);
  if (all.empty()) return padded;
  for (size_t i = 0; i < all.size(); ++i) all[i] = all[i].narrow(0, 0, of_ranks[i]);
  return at::cat(all);
}

std::string Communicator::from_first(const std::string& text) const {
  if (size_ == 1) return text;
  const auto length =
      static_cast<int64_t>(maximum(is_first() ? static_cast<double>(text.size()) : 0.0));
  at::Tensor bytes = at::empty({length}, at::kByte);
  if (is_first()) std::memcpy(bytes.data_ptr(), text.data(), text.size());
  take_from_first({bytes});
  return std::string(reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()),
                     static_cast<size_t>(length));
}

void Communicator::wait_for_all() const {
  maximum(0);
}

}  // namespace tessera
