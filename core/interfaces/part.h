#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/export.h"
#include "core/structures/clip.h"

namespace tessera {

/// Base of everything a plugin makes. Parameters and children are registered under the reference
/// implementation's names where one exists.
class TESSERA_API Part : public torch::nn::Module {
 public:
  ~Part() override;
  /// Whether forward() heeds ForwardContext::recompute: it then passes each of its segments (a
  /// layer, a stage) through recompute() of core/nn/recompute.h, which needs less memory than the
  /// whole part as one segment. Where this is false, whoever wants the part recomputed wraps it.
  virtual bool recomputes_segments() const { return false; }

  /// A buffer that training fills and that is no statistic (a bank of past embeddings), of a loss
  /// term, a matcher or an auxiliary network: kept in checkpoints, left out of weights for
  /// inference, never averaged over ranks, put back after trial runs. The part changes it in place,
  /// on every rank by the same numbers (LossInput::gather_over_ranks). Shapes are fixed.
  at::Tensor register_memory(const std::string& name, at::Tensor tensor);
  /// Names of the buffers made by register_memory(), in that order.
  const std::vector<std::string>& memories() const { return memories_; }

  /// Changes the tensors of a weight file that belong to this part (names without its prefix)
  /// before they are compared with the part's own: for official files in which they have another
  /// shape. By default none.
  virtual void adapt_weights(std::vector<std::pair<std::string, at::Tensor>>& tensors) const;

 private:
  std::vector<std::string> memories_;
};

/// Sees named intermediate tensors, for parity.
using Probe = std::function<void(const std::string& name, const at::Tensor& value)>;

/// Gives the points at which a loss or a matcher samples masks, so that recorded ones can be fed.
class TESSERA_API PointSource {
 public:
  virtual ~PointSource();
  /// out: [count, num_points, 2] uniform in 0..1. `use` names the caller ("matcher", "loss.0",
  /// ...).
  virtual at::Tensor uniform(const std::string& use, int64_t count, int64_t num_points) = 0;
  /// Any other random numbers of a forward pass, of these sizes. Undefined: the caller draws them
  /// itself.
  virtual at::Tensor draw(const std::string& use, at::IntArrayRef sizes);
};

struct AttentionInput;
struct AttentionSampling;

/// Asks a model's attentions where their queries look (`infer --explain`); see attend().
class TESSERA_API AttentionRecorder {
 public:
  virtual ~AttentionRecorder();
  /// Whether the attention of that name ("decoder.layers.0.cross_attn") shall say where it looks; a
  /// dense one then computes what it otherwise never holds.
  virtual bool wants(const std::string& name) const = 0;
  virtual void record(const std::string& name, const AttentionInput& input,
                      const AttentionSampling& sampling) = 0;
};

/// What travels with a forward pass besides its tensors. A value: whoever needs it later (lazy
/// masks) keeps a copy; what its pointers point to outlives the outputs of the pass.
struct ForwardContext {
  Probe probe;                             // empty: nobody looks
  AttentionRecorder* attention = nullptr;  // null: nobody asks where queries look
  PointSource* points = nullptr;           // null: points come from `generator`
  std::optional<at::Generator> generator;  // keyed by (seed, epoch, sample); null: torch's default
  std::optional<at::ScalarType> autocast;  // of products in the model; null: the weights' own type
  bool recompute = false;                  // see Part::recomputes_segments
  /// Of the names that look() and attend() show and that random numbers are drawn under
  /// ("stages.tracker.").
  std::string prefix{};
  double progress = 0;  // of the training, 0 at its start, 1 at the end of its schedule

  /// For a second run that nobody looks at, when what `probe` and `attention` point to is gone.
  ForwardContext unobserved() const {
    ForwardContext context = *this;
    context.probe = {};
    context.attention = nullptr;
    return context;
  }

  /// Shows `value()` to the probe; costs nothing where there is none.
  template <class Make>
  void look(const std::string& name, Make&& value) const {
    if (probe) probe(prefix + name, value());
  }
};

/// What a part asks of the clips it is given. Needs of several parts are joined by the builder.
struct ClipNeeds {
  int64_t fixed_frames = 0;  // exactly so many frames, 0 = any
  int64_t size_divisor = 1;  // frame sides are padded to a multiple
  bool uses_padding_mask = true;
};

}  // namespace tessera
