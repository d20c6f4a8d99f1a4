#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/interfaces/attention.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

constexpr int64_t kDim = 8, kClips = 2;

struct Size {
  int64_t height, width;
};

/// Clips with levels of strides 8, 16, .. in that order.
struct Scene {
  Memory memory;
  std::shared_ptr<Attention> attention;

  Scene(int64_t frames, const std::vector<Size>& sizes, const std::string& options = "") {
    at::manual_seed(1);
    BuildContext context;
    context.attention.dim = kDim;
    context.attention.memory_to_memory = true;
    int64_t cells = 0, stride = 8;
    for (const Size& size : sizes) {
      memory.levels.push_back({cells, size.height, size.width, stride});
      context.attention.strides.push_back(stride);
      cells += size.height * size.width;
      stride *= 2;
    }
    memory.tokens = at::randn({kClips, frames, cells, kDim});
    memory.position = at::randn({kClips, 1, cells, kDim}).expand({-1, frames, -1, -1});
    attention = test_support::make_plugin<Attention>(
        "ms_sts", "num_heads = 2\nfeed_forward_dim = 16\n" + options, context);
    attention->eval();
  }
  at::Tensor run() const {
    return attention->forward({memory.tokens, memory.position, {}, memory, {}}, {}).values.at(0);
  }
};

/// The formulas, token by token, from the parameters' names.
class Naive {
 public:
  explicit Naive(const Attention& part) {
    for (const auto& item : part.named_parameters())
      parameters_[item.key()] = item.value().detach().to(at::kDouble);
  }
  at::Tensor linear(const at::Tensor& x, const std::string& name) const {
    const auto bias = parameters_.find(name + ".bias");
    const at::Tensor y = at::matmul(x, parameters_.at(name + ".weight").t());
    return bias == parameters_.end() ? y : y + bias->second;
  }
  at::Tensor norm(const at::Tensor& x, const std::string& name) const {
    const at::Tensor centred = x - x.mean(-1, true);
    return centred / (centred.square().mean(-1, true) + 1e-5).sqrt() *
               parameters_.at(name + ".weight") +
           parameters_.at(name + ".bias");
  }
  /// Every token of x [L,D] on every other that is not blocked [L].
  at::Tensor attend(const at::Tensor& x, const std::string& name, const at::Tensor& blocked) const {
    const at::Tensor qkv = linear(x, name + ".qkv");
    const int64_t dim = x.size(1), heads = 2, width = dim / heads;
    at::Tensor out = at::zeros_like(x);
    for (int64_t h = 0; h < heads; ++h) {
      auto part = [&](int64_t which) { return qkv.narrow(1, which * dim + h * width, width); };
      for (int64_t i = 0; i < x.size(0); ++i) {
        at::Tensor score = at::matmul(part(1), part(0)[i]) / std::sqrt(static_cast<double>(width));
        if (blocked.defined()) score = score.masked_fill(blocked, -INFINITY);
        out[i].narrow(0, h * width, width).copy_(at::matmul(score.softmax(0), part(2)));
      }
    }
    return linear(out, name + ".proj");
  }
  /// x [T,S,D] of one clip.
  at::Tensor split_layer(at::Tensor x, const std::string& name, const at::Tensor& padding) const {
    at::Tensor over_time = at::zeros_like(x), over_space = at::zeros_like(x);
    for (int64_t s = 0; s < x.size(1); ++s)
      over_time.select(1, s).copy_(attend(x.select(1, s), name + ".temporal_attn", {}));
    x = x + over_time;
    for (int64_t t = 0; t < x.size(0); ++t)
      over_space[t].copy_(
          attend(x[t], name + ".spatial_attn", padding.defined() ? padding[t] : at::Tensor()));
    x = norm(x + over_space, name + ".norm2");
    return x + linear(linear(x, name + ".linear1").relu(), name + ".linear2");
  }
  at::Tensor run(const Memory& memory, int64_t clip) const {
    const at::Tensor x = (memory.tokens + memory.position)[clip].to(at::kDouble);
    std::vector<at::Tensor> own, padding, level;
    for (const MemoryLevel& l : memory.levels) {
      own.push_back(x.narrow(1, l.offset, l.height * l.width));
      padding.push_back(memory.padding_mask.defined()
                            ? memory.padding_mask[clip].narrow(1, l.offset, l.height * l.width)
                            : at::Tensor());
      level.push_back(split_layer(linear(own.back(), "intra.fine_proj"), "intra", padding.back()));
    }
    at::Tensor next = level[0];
    for (size_t i = 0; i < level.size(); ++i) {
      const size_t other = std::min(i + 1, level.size() - 1);
      const at::Tensor coarse = i + 1 == level.size() ? own[i] : level[other];
      const at::Tensor joined =
          norm(at::cat({linear(next, "inter.fine_proj"), linear(coarse, "inter.coarse_proj")}, 1),
               "inter.norm1");
      const at::Tensor masked =
          padding[i].defined() ? at::cat({padding[i], padding[other]}, 1) : at::Tensor();
      const at::Tensor done = split_layer(joined, "inter", masked);
      level[i] = done.narrow(1, 0, next.size(1));
      next = done.narrow(1, next.size(1), done.size(1) - next.size(1));
    }
    return linear(at::cat(level, 1), "out_proj");
  }

 private:
  std::map<std::string, at::Tensor> parameters_;
};

TEST(MsSts, EqualsTheFormulasTokenByToken) {
  for (const bool padded : {false, true}) {
    Scene scene(3, {{4, 6}, {2, 3}, {1, 2}});
    if (padded) {  // the right half of the second clip
      const int64_t cells = scene.memory.tokens.size(2);
      scene.memory.padding_mask = at::zeros({kClips, 3, cells}, at::kBool);
      for (const MemoryLevel& level : scene.memory.levels)
        scene.memory.padding_mask[1]
            .narrow(1, level.offset, level.height * level.width)
            .view({3, level.height, level.width})
            .narrow(2, (level.width + 1) / 2, level.width / 2)
            .fill_(true);
    }
    torch::NoGradGuard no_grad;
    const at::Tensor ours = scene.run();
    for (int64_t clip = 0; clip < kClips; ++clip) {
      at::Tensor difference =
          (ours[clip].to(at::kDouble) - Naive(*scene.attention).run(scene.memory, clip)).abs();
      if (padded)
        difference = difference.masked_fill(scene.memory.padding_mask[clip].unsqueeze(-1), 0.0);
      EXPECT_LT(difference.max().item<double>(), 1e-4) << "clip " << clip << ", padded " << padded;
    }
  }
}

TEST(MsSts, KeepsTheShapeAndGivesEveryParameterAGradient) {
  for (const char* options : {"", "dim = 4", "share_weights = false", "with_intra_scale = false",
                              "with_inter_scale = false\ndim = 12"}) {
    Scene scene(2, {{4, 6}, {2, 3}, {1, 2}}, options);
    scene.memory.tokens.set_requires_grad(true);
    const at::Tensor output = scene.run();
    ASSERT_EQ(output.sizes(), scene.memory.tokens.sizes()) << options;
    output.square().sum().backward();
    EXPECT_GT(scene.memory.tokens.grad().abs().min().item<double>(), 0) << options;
    for (const auto& item : scene.attention->named_parameters()) {
      ASSERT_TRUE(item.value().grad().defined()) << options << ": " << item.key();
      EXPECT_GT(item.value().grad().abs().sum().item<double>(), 0) << options << ": " << item.key();
    }
  }
}

TEST(MsSts, GradientEqualsDifferences) {
  Scene scene(2, {{2, 3}, {1, 2}});
  scene.attention->to(at::kDouble);
  scene.memory.tokens = scene.memory.tokens.to(at::kDouble).set_requires_grad(true);
  scene.memory.position = scene.memory.position.to(at::kDouble);
  const at::Tensor weight = at::randn(scene.memory.tokens.sizes(), at::kDouble);
  (scene.run() * weight).sum().backward();
  const at::Tensor gradient = scene.memory.tokens.grad().clone();
  torch::NoGradGuard no_grad;
  const at::Tensor start = scene.memory.tokens.detach().clone();
  for (int trial = 0; trial < 5; ++trial) {
    const at::Tensor direction = at::randn_like(start);
    constexpr double kStep = 1e-6;
    auto value = [&](double step) {
      scene.memory.tokens = start + step * direction;
      return (scene.run() * weight).sum().item<double>();
    };
    const double expected = (value(kStep) - value(-kStep)) / (2 * kStep);
    const double ours = (gradient * direction).sum().item<double>();
    EXPECT_NEAR(ours, expected, 1e-5 * std::max(1.0, std::abs(expected)));
  }
}

// The positions given here say nothing of time, so neither does the attention.
TEST(MsSts, PermutesWithTheFrames) {
  Scene scene(4, {{4, 6}, {2, 3}, {1, 2}});
  torch::NoGradGuard no_grad;
  const at::Tensor output = scene.run(),
                   order = at::tensor({int64_t{2}, int64_t{0}, int64_t{3}, int64_t{1}});
  scene.memory.tokens = scene.memory.tokens.index_select(1, order);
  EXPECT_TRUE(at::allclose(scene.run(), output.index_select(1, order), 1e-4, 1e-5));
}

TEST(MsSts, SeesOtherFramesAndOtherScales) {
  Scene scene(3, {{4, 6}, {2, 3}});
  torch::NoGradGuard no_grad;
  const at::Tensor before = scene.run();
  scene.memory.tokens[0][2].narrow(0, 24, 6).add_(1.0);  // the coarse level of the last frame
  const at::Tensor change = (scene.run() - before).abs().amax(-1);      // [B,T,S]
  EXPECT_GT(change[0][0].narrow(0, 0, 24).min().item<double>(), 1e-6);  // fine, first frame
  EXPECT_EQ(change[1].max().item<double>(), 0.0);                       // the other clip
}

/// Sum over attentions of the (query, key) pairs that are compared, heads not counted.
int64_t count_pairs(const Scene& scene) {
  static thread_local int64_t pairs;
  pairs = 0;
  auto callback = [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
    if (std::string(function.name()) == "aten::scaled_dot_product_attention") {
      const at::Tensor query = function.inputs()[0].toTensor(),
                       key = function.inputs()[1].toTensor();
      pairs += query.size(0) * query.size(2) * key.size(2);
    }
    return nullptr;
  };
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(callback).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  const at::RecordFunctionGuard enabled(true);
  torch::NoGradGuard no_grad;
  scene.run();
  at::removeCallback(handle);
  return pairs;
}

// Time and space are apart: T*S*(T + S) pairs within a level of S cells, and the same of a level
// joined with the next one; full attention over space and time would compare (T*S)^2.
TEST(MsSts, ComparesAsManyPairsAsDesigned) {
  auto split = [](int64_t frames, int64_t cells) { return frames * cells * (frames + cells); };
  for (const int64_t frames : {1, 2, 5}) {
    for (const int64_t scale : {1, 2}) {
      const int64_t fine = 24 * scale * scale, coarse = 6 * scale * scale;
      const Scene scene(frames, {{4 * scale, 6 * scale}, {2 * scale, 3 * scale}});
      const int64_t designed = split(frames, fine) + split(frames, coarse) +
                               split(frames, fine + coarse) + split(frames, 2 * coarse);
      EXPECT_EQ(count_pairs(scene), kClips * designed) << frames << " frames, scale " << scale;
    }
  }
}

TEST(MsSts, RefusesWhatCannotWork) {
  EXPECT_THROW(Scene(1, {{2, 3}}, "dim = 5"), ConfigError);
  EXPECT_THROW(Scene(1, {{2, 3}}, "with_intra_scale = false\nwith_inter_scale = false"),
               ConfigError);
}

}  // namespace
}  // namespace tessera
