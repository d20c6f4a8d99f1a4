#include "bench/op_bench.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/op_cases.h"
#include "bench/opponents.h"
#include "bench/stopwatch.h"
#include "core/nn/dot_product_attention.h"
#include "core/ops/deform_conv2d.h"
#include "core/ops/ms_deform_attn.h"
#include "core/ops/st_deform_attn.h"

namespace tessera::bench {
namespace {

using Json = nlohmann::ordered_json;
using torch::autograd::variable_list;

// One way to compute an output from inputs.
struct Formulation {
  std::string name;
  std::function<at::Tensor()> output;
  variable_list inputs;
  bool deterministic = false;  // run where the program asks for reproducible results
};

struct OpCase {
  std::string op;         // as ratios name it
  std::string shape;      // for people
  std::string locations;  // where queries look, for people
  // The least bytes a forward pass could move: every input once, the output once.
  double bytes = 0;
  // The bytes of values at all corners of all sampling points: what a GPU's caches have to give.
  double sampled_bytes = 0;
  at::Tensor grad_output;
  std::vector<Formulation> formulations;  // ours first
  bool headline = false;                  // its ratios are the benchmark's
  int most_rounds = 1000;                 // of a case that takes minutes
};

double bytes_of(std::initializer_list<at::Tensor> tensors) {
  double bytes = 0;
  for (const at::Tensor& tensor : tensors) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}

std::string st_shape(const StCase& c) {
  const auto& s = c.shape_thw;
  return std::to_string(s[0]) + "x" + std::to_string(s[1]) + "x" + std::to_string(s[2]) + " M" +
         std::to_string(c.heads) + " D" + std::to_string(c.dim) + " K" + std::to_string(c.points);
}

class OpBench {
 public:
  explicit OpBench(const OpBenchOptions& options) : options_(options) {
    result_["what"] = "ops";
    result_["device"] = options.device.str();
    result_["threads"] = at::get_num_threads();
    constexpr int64_t kBeyondCaches = int64_t{1} << 28, kInSecondCache = int64_t{1} << 23;
    bandwidth_ = copy_bandwidth(options.device, kBeyondCaches);
    result_["bandwidth"] = bandwidth_;
    if (options.device.is_cuda()) {
      cache_bandwidth_ = copy_bandwidth(options.device, kInSecondCache);
      result_["cache_bandwidth"] = cache_bandwidth_;
    }
    result_["ratios"] = Json::object();
    result_["opponent_seconds"] = Json::object();
    result_["cases"] = Json::array();
  }

  void run(const OpCase& op_case) {
    for (const bool backward : {false, true}) {
      std::vector<Contestant> contestants;
      for (const Formulation& formulation : op_case.formulations) {
        contestants.push_back({formulation.name, [&, backward] {
                                 compute(formulation, op_case.grad_output, backward);
                               }});
      }
      record(op_case, backward,
             interleaved_medians(contestants, std::min(rounds(), op_case.most_rounds)));
    }
  }

  // Seconds of one forward pass of ours alone: how the operator scales.
  double forward_seconds(const Formulation& ours) {
    return interleaved_medians({{ours.name, [&] { compute(ours, {}, false); }}}, rounds()).front();
  }

  void add_ratio(const std::string& name, double ratio) { result_["ratios"][name] = ratio; }
  Json take() { return std::move(result_); }

 private:
  int rounds() const { return options_.quick ? 1 : options_.rounds; }

  void compute(const Formulation& formulation, const at::Tensor& grad_output, bool backward) const {
    at::globalContext().setDeterministicAlgorithms(formulation.deterministic, false);
    if (backward) {
      const at::Tensor output = formulation.output();
      torch::autograd::grad({output}, formulation.inputs, {grad_output});
    } else {
      const at::NoGradGuard no_grad;
      formulation.output();
    }
    if (options_.device.is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(0);
  }

  void record(const OpCase& op_case, bool backward, const std::vector<double>& seconds) {
    const std::string name = op_case.op + (backward ? ".forward_backward" : ".forward");
    Json entry = {{"name", name},
                  {"shape", op_case.shape},
                  {"locations", op_case.locations},
                  {"seconds", seconds.front()},
                  {"bytes", op_case.bytes}};
    if (!backward) entry["of_bandwidth"] = op_case.bytes / seconds.front() / bandwidth_;
    if (!backward && cache_bandwidth_ > 0) {
      // Above 1 where the first cache, which this bound leaves out, holds what neighbours sample.
      entry["sampled_bytes"] = op_case.sampled_bytes;
      entry["of_limit"] =
          std::max(op_case.bytes / bandwidth_, op_case.sampled_bytes / cache_bandwidth_) /
          seconds.front();
    }
    std::printf("%-34s %-32s %-8s %9.2f ms", name.c_str(), op_case.shape.c_str(),
                op_case.locations.c_str(), 1e3 * seconds.front());
    for (size_t i = 1; i < seconds.size(); ++i) {
      const std::string versus = name + ".vs_" + op_case.formulations[i].name;
      const double ratio = seconds[i] / seconds.front();
      entry["opponents"][op_case.formulations[i].name] = {{"seconds", seconds[i]},
                                                          {"ratio", ratio}};
      if (op_case.headline) {
        result_["ratios"][versus] = ratio;
        result_["opponent_seconds"][versus] = seconds[i];
      }
      std::printf("  %s %.1f ms (%.1fx)", op_case.formulations[i].name.c_str(), 1e3 * seconds[i],
                  ratio);
    }
    std::printf("\n");
    std::fflush(stdout);
    result_["cases"].push_back(std::move(entry));
  }

  OpBenchOptions options_;
  Json result_;
  double bandwidth_ = 0;
  double cache_bandwidth_ = 0;  // of a GPU's second cache
};

using Attention = at::Tensor(const at::Tensor&, at::IntArrayRef, const at::Tensor&,
                             const at::Tensor&);
using Convolution = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                               const at::Tensor&);

// On a GPU: ours with reproducible gradients, and the plain CUDA kernel of bench/cuda where that
// library is loaded.
template <typename Signature, typename Call>
void add_gpu_formulations(OpCase& op_case, at::Device device, const char* op, const Call& call) {
  if (!device.is_cuda()) return;
  std::vector<Formulation>& formulations = op_case.formulations;
  Formulation in_order = formulations.front();
  in_order.name = "in_order";
  in_order.deterministic = true;
  formulations.push_back(in_order);
  const auto handle =
      c10::Dispatcher::singleton().findSchema({std::string("tessera_bench::") + op, ""});
  if (!handle) return;
  const auto opponent = handle->typed<Signature>();
  formulations.push_back(
      {"cuda_by_channels", [=] { return call(opponent); }, formulations.front().inputs});
}

double row_bytes(const at::Tensor& points, int64_t corners, int64_t dim) {
  return static_cast<double>(points.numel() * corners * dim) * sizeof(float);
}

Formulation our_st_deform_attn(const StCase& c) {
  return {"tessera",
          [&c] { return st_deform_attn(c.value, c.shape_thw, c.locations, c.weights); },
          {c.value, c.locations, c.weights}};
}

void bench_st_deform_attn(OpBench& bench, std::array<int64_t, 3> shape_thw, Locations locations,
                          at::Device device, bool headline, int most_rounds = 1000) {
  const StCase c = make_st_case(shape_thw, 8, 48, 32, locations, device);
  // Dense attention of the same width and tokens; its inputs are of the same size as `value`.
  const at::Tensor query = at::randn_like(c.value).requires_grad_(true);
  const at::Tensor key = at::randn_like(c.value).requires_grad_(true);
  OpCase op_case{
      "st_deform_attn",
      st_shape(c),
      name_of(locations),
      bytes_of({c.value, c.locations, c.weights, c.grad_output}),
      row_bytes(c.weights, 8, c.dim),
      c.grad_output,
      {our_st_deform_attn(c),
       {"grid_sample",
        [&] { return st_deform_attn_by_grid_sample(c.value, c.shape_thw, c.locations, c.weights); },
        {c.value, c.locations, c.weights}},
       {"sdpa", [&] { return dense_attention(query, key, c.value); }, {query, key, c.value}}},
      headline,
      most_rounds};
  add_gpu_formulations<Attention>(op_case, device, "st_deform_attn", [&c](const auto& op) {
    return op.call(c.value, c.shape_thw, c.locations, c.weights);
  });
  bench.run(op_case);
}

// Deformable VisTR's claim: the cost of a token does not grow with the clip.
void bench_cost_per_token(OpBench& bench, at::Device device) {
  double shortest = 0;
  for (const int64_t frames : {5, 12, 36}) {
    const StCase c = make_st_case({frames, 10, 17}, 8, 48, 32, Locations::kAround, device);
    const double per_token = bench.forward_seconds(our_st_deform_attn(c)) / double(c.value.size(1));
    if (frames == 5) shortest = per_token;
    bench.add_ratio("st_deform_attn.seconds_per_token.T" + std::to_string(frames) + "_to_T5",
                    per_token / shortest);
    std::printf("st_deform_attn: %.2f us a token at T=%d, %.2f of that at T=5\n", 1e6 * per_token,
                int(frames), per_token / shortest);
  }
}

void bench_ms_deform_attn(OpBench& bench, int64_t frames,
                          const std::vector<std::array<int64_t, 2>>& shapes_hw, Locations locations,
                          at::Device device, bool headline) {
  const MsCase c = make_ms_case(frames, shapes_hw, 8, 32, 4, locations, device);
  std::string shape = std::to_string(frames) + " of";
  std::vector<int64_t> flat;
  for (const auto& hw : shapes_hw) {
    shape += " " + std::to_string(hw[0]) + "x" + std::to_string(hw[1]);
    flat.insert(flat.end(), hw.begin(), hw.end());
  }
  const variable_list inputs = {c.value, c.locations, c.weights};
  OpCase op_case{
      "ms_deform_attn",
      shape,
      name_of(locations),
      bytes_of({c.value, c.locations, c.weights, c.grad_output}),
      row_bytes(c.weights, 4, c.value.size(3)),
      c.grad_output,
      {{"tessera", [&] { return ms_deform_attn(c.value, c.shapes_hw, c.locations, c.weights); },
        inputs},
       {"aten",
        [&] { return ms_deform_attn_by_grid_sample(c.value, c.shapes_hw, c.locations, c.weights); },
        inputs}},
      headline};
  add_gpu_formulations<Attention>(op_case, device, "ms_deform_attn", [&](const auto& op) {
    return op.call(c.value, flat, c.locations, c.weights);
  });
  bench.run(op_case);
}

void bench_deform_conv2d(OpBench& bench, int64_t maps, std::array<int64_t, 2> hw,
                         std::array<int64_t, 2> channels, at::Device device, bool headline) {
  const ConvCase c = make_conv_case(maps, hw[0], hw[1], channels[0], channels[1], device);
  const std::string shape = std::to_string(maps) + " of " + std::to_string(hw[0]) + "x" +
                            std::to_string(hw[1]) + " " + std::to_string(channels[0]) + "->" +
                            std::to_string(channels[1]);
  const variable_list inputs = {c.input, c.offset, c.weight, c.bias};
  const DeformConvOptions same{.padding = {1, 1}};
  OpCase op_case{
      "deform_conv2d",
      shape,
      name_of(Locations::kAround),
      bytes_of({c.input, c.offset, c.weight, c.grad_output}),
      row_bytes(c.offset, 2, c.input.size(1)),
      c.grad_output,
      {{"tessera",
        [&] { return deform_conv2d(c.input, c.offset, std::nullopt, c.weight, c.bias, same); },
        inputs},
       {"columns", [&] { return deform_conv2d_by_columns(c.input, c.offset, c.weight, c.bias); },
        inputs}},
      headline};
  add_gpu_formulations<Convolution>(op_case, device, "deform_conv2d", [&c](const auto& op) {
    return op.call(c.input, c.offset, c.weight, c.bias);
  });
  bench.run(op_case);
}

// Dense attention in training: its weights are dropped.
void bench_dot_product_attention(OpBench& bench, int64_t tokens, at::Device device, bool headline,
                                 int most_rounds = 1000) {
  if (!device.is_cpu()) return;  // both would be LibTorch's
  constexpr double kDropout = 0.1;
  const auto options = at::TensorOptions(device);
  const at::Tensor query = at::randn({1, 8, tokens, 48}, options).requires_grad_(true);
  const at::Tensor key = at::randn_like(query).requires_grad_(true);
  const at::Tensor value = at::randn_like(query).requires_grad_(true);
  const variable_list inputs = {query, key, value};
  bench.run(
      {"dot_product_attention",
       std::to_string(tokens) + " tokens M8 D48",
       "all",
       bytes_of({query, key, value, query}),
       0,
       at::randn_like(query),
       {{"tessera", [&] { return dot_product_attention(query, key, value, {}, kDropout); }, inputs},
        {"sdpa", [&] { return at::scaled_dot_product_attention(query, key, value, {}, kDropout); },
         inputs}},
       headline,
       most_rounds});
}

// The sizes of the published models.
void bench_published_st(OpBench& bench, at::Device device) {
  bench_st_deform_attn(bench, {36, 10, 17}, Locations::kAround, device, true);
  bench_st_deform_attn(bench, {36, 10, 17}, Locations::kUniform, device, false);
  bench_cost_per_token(bench, device);
  for (const int64_t frames : {1, 5, 12}) {
    bench_st_deform_attn(bench, {frames, 10, 17}, Locations::kAround, device, false);
  }
  for (const int64_t frames : {1, 5, 12}) {
    bench_st_deform_attn(bench, {frames, 20, 34}, Locations::kAround, device, false);
  }
  bench_st_deform_attn(bench, {36, 20, 34}, Locations::kAround, device, false, 1);
}

void bench_published_ms(OpBench& bench, at::Device device) {
  const std::vector<std::array<int64_t, 2>> pixel_decoder = {{12, 20}, {23, 40}, {45, 80}};
  bench_ms_deform_attn(bench, 2, pixel_decoder, Locations::kAround, device, true);
  bench_ms_deform_attn(bench, 2, pixel_decoder, Locations::kUniform, device, false);
}

void bench_published_conv(OpBench& bench, at::Device device) {
  bench_deform_conv2d(bench, 40, {75, 133}, {48, 24}, device, true);
  bench_deform_conv2d(bench, 40, {38, 67}, {96, 48}, device, false);
}

void bench_published_dot_product(OpBench& bench, at::Device device) {
  for (const int64_t frames : {1, 5, 12})
    bench_dot_product_attention(bench, frames * 170, device, frames == 5);
  bench_dot_product_attention(bench, 36 * 170, device, false, 3);
}

}  // namespace

Json bench_ops(const OpBenchOptions& options) {
  OpBench bench(options);
  const at::Device device = options.device;
  const auto chosen = [&](const char* op) { return options.only.empty() || options.only == op; };
  if (options.quick) {
    const std::vector<std::array<int64_t, 2>> levels = {{6, 10}, {12, 20}, {23, 40}};
    if (chosen("st_deform_attn")) {
      bench_st_deform_attn(bench, {5, 10, 17}, Locations::kAround, device, true);
    }
    if (chosen("ms_deform_attn")) {
      bench_ms_deform_attn(bench, 1, levels, Locations::kAround, device, true);
    }
    if (chosen("deform_conv2d")) bench_deform_conv2d(bench, 4, {38, 67}, {48, 24}, device, true);
    if (chosen("dot_product_attention")) bench_dot_product_attention(bench, 680, device, true);
  } else {
    if (chosen("st_deform_attn")) bench_published_st(bench, device);
    if (chosen("ms_deform_attn")) bench_published_ms(bench, device);
    if (chosen("deform_conv2d")) bench_published_conv(bench, device);
    if (chosen("dot_product_attention")) bench_published_dot_product(bench, device);
  }
  return bench.take();
}

}  // namespace tessera::bench
