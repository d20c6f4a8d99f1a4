#include "bench/op_bench.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/op_cases.h"
#include "bench/opponents.h"
#include "bench/stopwatch.h"
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
};

struct OpCase {
  std::string op;     // as ratios name it
  std::string shape;  // for people
  Locations locations = Locations::kAround;
  // The least bytes a forward pass could move: every input once, the output once.
  double bytes = 0;
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
    bandwidth_ = memory_bandwidth();
    result_["bandwidth"] = bandwidth_;
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
                  {"locations", name_of(op_case.locations)},
                  {"seconds", seconds.front()},
                  {"bytes", op_case.bytes}};
    if (!backward) entry["of_bandwidth"] = op_case.bytes / seconds.front() / bandwidth_;
    std::printf("%-34s %-32s %-8s %9.2f ms", name.c_str(), op_case.shape.c_str(),
                name_of(op_case.locations), 1e3 * seconds.front());
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
};

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
  bench.run(
      {"st_deform_attn",
       st_shape(c),
       locations,
       bytes_of({c.value, c.locations, c.weights, c.grad_output}),
       c.grad_output,
       {our_st_deform_attn(c),
        {"grid_sample",
         [&] {
           return st_deform_attn_by_grid_sample(c.value, c.shape_thw, c.locations, c.weights);
         },
         {c.value, c.locations, c.weights}},
        {"sdpa", [&] { return dense_attention(query, key, c.value); }, {query, key, c.value}}},
       headline,
       most_rounds});
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
  for (const auto& hw : shapes_hw) {
    shape += " " + std::to_string(hw[0]) + "x" + std::to_string(hw[1]);
  }
  const variable_list inputs = {c.value, c.locations, c.weights};
  bench.run(
      {"ms_deform_attn",
       shape,
       locations,
       bytes_of({c.value, c.locations, c.weights, c.grad_output}),
       c.grad_output,
       {{"tessera", [&] { return ms_deform_attn(c.value, c.shapes_hw, c.locations, c.weights); },
         inputs},
        {"aten",
         [&] {
           return ms_deform_attn_by_grid_sample(c.value, c.shapes_hw, c.locations, c.weights);
         },
         inputs}},
       headline});
}

void bench_deform_conv2d(OpBench& bench, int64_t maps, std::array<int64_t, 2> hw,
                         std::array<int64_t, 2> channels, at::Device device, bool headline) {
  const ConvCase c = make_conv_case(maps, hw[0], hw[1], channels[0], channels[1], device);
  const std::string shape = std::to_string(maps) + " of " + std::to_string(hw[0]) + "x" +
                            std::to_string(hw[1]) + " " + std::to_string(channels[0]) + "->" +
                            std::to_string(channels[1]);
  const variable_list inputs = {c.input, c.offset, c.weight, c.bias};
  const DeformConvOptions same{.padding = {1, 1}};
  bench.run(
      {"deform_conv2d",
       shape,
       Locations::kAround,
       bytes_of({c.input, c.offset, c.weight, c.grad_output}),
       c.grad_output,
       {{"tessera",
         [&] { return deform_conv2d(c.input, c.offset, std::nullopt, c.weight, c.bias, same); },
         inputs},
        {"columns", [&] { return deform_conv2d_by_columns(c.input, c.offset, c.weight, c.bias); },
         inputs}},
       headline});
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
  } else {
    if (chosen("st_deform_attn")) bench_published_st(bench, device);
    if (chosen("ms_deform_attn")) bench_published_ms(bench, device);
    if (chosen("deform_conv2d")) bench_published_conv(bench, device);
  }
  return bench.take();
}

}  // namespace tessera::bench
