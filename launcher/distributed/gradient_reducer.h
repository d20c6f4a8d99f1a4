#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "launcher/distributed/communicator.h"

namespace tessera {

/// Averages gradients over the ranks while backward still runs: c10d's Reducer, bucket by bucket.
/// A parameter without a gradient on some ranks counts as zero there; without one on all ranks it
/// keeps none. In a world of one nothing happens.
class GradientReducer {
 public:
  /// in: parameters in the order of the forward pass, the same on every rank.
  GradientReducer(const Communicator& communicator, std::vector<at::Tensor> parameters,
                  const DistributedOptions& options);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Before the backward pass of a step's last part; gradients of the parts before it are averaged
  /// with its own. in: what backward() is called on.
  void prepare(const at::Tensor& loss);
  /// After that backward pass: gradients are averaged.
  void finish();
  /// Seconds that the latest step waited for other ranks after its own last gradient was ready.
  double exposed_seconds() const { return exposed_seconds_; }
  /// Sizes of what the latest step sent, in the order in which it was ready; before compression.
  std::vector<int64_t> bucket_bytes() const;

 private:
  struct Reduction;
  std::unique_ptr<Reduction> reduction_;
  double exposed_seconds_ = 0;
};

}  // namespace tessera
