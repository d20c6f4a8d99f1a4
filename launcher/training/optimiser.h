#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "launcher/model/vis_model.h"
#include "launcher/training/train_options.h"
#include "launcher/weights/safetensors.h"

namespace tessera {

/// Parameters that share a learning rate and a weight decay.
struct ParameterGroup {
  std::string pattern;  // "" for the parameters that no pattern took
  double lr = 0;        // before the schedule
  double weight_decay = 0;
  std::vector<std::string> names;  // canonical
  std::vector<at::Tensor> parameters;
  std::string schedule{};  // one of train.schedules; "" for the network's own
};

/// Freezes `train.frozen_parts` of a model, see VisModel::freeze(). Before weights are loaded, so
/// that a part without any is noticed, and before groups are made. May be called again.
void freeze_parts(VisModel& model, const TrainOptions& options);

/// Switches off the gradients of every parameter that one of `patterns` is found in. Throws
/// ConfigError naming the patterns that match nothing.
void freeze_parameters(const std::vector<NamedTensor>& model,
                       const std::vector<std::string>& patterns);

/// Sorts the parameters that take gradients into groups: the first pattern that is found in a name
/// takes it, the rest is the last group. A pattern with layer-wise decay makes a group for each
/// layer, the first layer first. Empty groups are left out. Throws ConfigError naming every pattern
/// that takes no parameter and is not optional, and parameters whose layer is not below num_layers.
std::vector<ParameterGroup> make_groups(const std::vector<NamedTensor>& model,
                                        const OptimiserOptions& options,
                                        const std::vector<ParameterGroupOptions>& patterns);

/// Makes the steps of all groups by the rule that OptimiserOptions::kind names, and keeps its
/// state.
class Optimiser {
 public:
  Optimiser(const OptimiserOptions& options, std::vector<ParameterGroup> groups);

  const std::vector<ParameterGroup>& groups() const { return groups_; }
  /// All parameters, group by group.
  std::vector<at::Tensor> parameters() const;

  /// Forgets all gradients.
  void zero_grad();
  /// One step; the learning rate of each group is times its factor, in the order of groups().
  /// Parameters without a gradient stay.
  void step(const std::vector<double>& lr_factors);
  /// The same with one factor for all groups.
  void step(double lr_factor) { step(std::vector<double>(groups_.size(), lr_factor)); }

  /// Bytes that the state of all parameters takes once each had a step.
  int64_t state_bytes() const;

  /// Running means and step counts as "<slot>.<canonical name>", only of parameters that had a
  /// step.
  TensorList state() const;
  /// Takes over what state() gave. Throws DataError listing entries that are unknown, incomplete or
  /// of another shape; the optimiser is untouched then.
  void load_state(const TensorList& state);

 private:
  using Slots = OptimiserSlots;
  at::TensorOptions step_options(const at::Tensor& parameter) const;
  void make_slots(Slots& slots, const at::Tensor& parameter) const;
  void step_group(const ParameterGroup& group, std::vector<Slots>& slots, double lr_factor);

  OptimiserOptions options_;
  std::vector<ParameterGroup> groups_;
  std::vector<std::vector<Slots>> slots_;  // as groups_
};

/// The 2-norm of all gradients together, as a scalar of the parameters' device; zero where there is
/// no gradient.
at::Tensor gradient_norm(const std::vector<at::Tensor>& parameters);

/// Scales the gradients so that their norm, `norm`, is at most `limit`.
void clip_gradients(const std::vector<at::Tensor>& parameters, const at::Tensor& norm,
                    double limit);

}  // namespace tessera
