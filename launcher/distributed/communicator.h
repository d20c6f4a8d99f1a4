#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "launcher/distributed/distributed_options.h"
#include "launcher/distributed/world.h"

namespace tessera {

/// What ranks that train together say to one another: c10d's process group, Gloo for tensors on the
/// CPU and NCCL for those on a GPU. Every call waits for all ranks, which must make the same calls
/// in the same order; in a world of one each is the identity. Throws what c10d throws when a rank
/// is gone.
class Communicator {
 public:
  /// Of one.
  Communicator();
  /// Rank 0 opens c10d's store on a free port; MPI tells the others where. Throws ConfigError for
  /// an unknown interface, RuntimeError where the ranks cannot be reached.
  Communicator(const World& world, at::Device device, const DistributedOptions& options);
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  bool is_first() const { return rank_ == 0; }

  /// Sum over the ranks divided by their number.
  at::Tensor mean(const at::Tensor& value) const;
  /// The largest of the ranks' numbers.
  double maximum(double value) const;
  /// Overwrites the tensors with those of rank 0; shapes are the same everywhere.
  void take_from_first(const std::vector<at::Tensor>& tensors) const;
  /// out: the bytes of each rank in their order on rank 0, nothing elsewhere.
  std::vector<std::string> gather(const std::string& bytes) const;
  /// in: [R,...], R of each rank's own. out: the rows of all ranks in their order, everywhere,
  /// without gradients.
  at::Tensor gather_rows(const at::Tensor& rows) const;
  /// out: rank 0's text, everywhere.
  std::string from_first(const std::string& text) const;
  void wait_for_all() const;

  /// c10d's objects, for gradient_reducer.cpp and supervisor.cpp; null in a world of one.
  struct Groups;
  const Groups* groups() const { return groups_.get(); }

 private:
  int64_t rank_ = 0, size_ = 1;
  std::unique_ptr<Groups> groups_;
};

}  // namespace tessera
