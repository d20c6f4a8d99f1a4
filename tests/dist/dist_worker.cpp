// What the tests of several ranks run under mpirun: one scenario, named by the first argument.
//
// - communicator: every call against what it must give
// - reducer: averaged gradients against a plain sum, with parameters that some ranks lack
// - nccl: both on a GPU for each rank
// - recompute: the same of a segment whose activations are not kept
// - loop FOLDER FAULT RANK: trains a tiny model with checkpoints; RANK does FAULT in step 6, one of
//   none, throw, nan, memory, hang, other_experiment (before the first step); FOLDER/fault appears
//   just before
// - compare A B [PREFIX]: largest relative difference of two files' tensors with such names (one
//   process)

#include <ATen/ATen.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <thread>

#include "core/error.h"
#include "core/nn/recompute.h"
#include "launcher/distributed/communicator.h"
#include "launcher/distributed/gradient_reducer.h"
#include "launcher/distributed/same_build.h"
#include "launcher/distributed/supervisor.h"
#include "launcher/load_cuda.h"
#include "launcher/run_main.h"
#include "launcher/training/preemption.h"
#include "launcher/training/training_loop.h"
#include "tests/dist/nccl_alone.h"
#include "tests/training/tiny_model.h"

namespace tessera {
namespace {

void expect(bool holds, const std::string& what) {
  if (!holds) throw RuntimeError("expected " + what + ", got something else.");
}

void check_communicator(const Communicator& ranks, at::Device device) {
  const auto rank = static_cast<double>(ranks.rank()), size = static_cast<double>(ranks.size());
  expect(ranks.mean(at::tensor({rank, 1.0}).to(device))
             .equal(at::tensor({(size - 1) / 2, 1.0}).to(device)),
         "a mean");
  expect(ranks.maximum(-rank) == 0 && ranks.maximum(rank) == size - 1, "the largest number");
  const at::Tensor taken = at::full({3, 2}, rank, device).t();  // not contiguous
  ranks.take_from_first({taken});
  expect(taken.eq(0).all().item<bool>(), "rank 0's tensor");
  const std::string text(static_cast<size_t>(ranks.rank()) * 1000, 'a' + ranks.rank());
  const auto parts = ranks.gather(text);
  expect(parts.size() == (ranks.is_first() ? size : 0), "texts on rank 0 only");
  for (size_t i = 0; i < parts.size(); ++i)
    expect(parts[i] == std::string(i * 1000, static_cast<char>('a' + i)), "every rank's text");
  expect(ranks.from_first(ranks.is_first() ? "first" : "another") == "first", "rank 0's text");

  // Rank r gives r rows, rank 0 none.
  const auto rows_of = [](int64_t rank) {
    return (at::arange(rank * 3, at::kDouble) + static_cast<double>(100 * rank)).view({rank, 3});
  };
  std::vector<at::Tensor> rows;
  for (int64_t rank = 0; rank < ranks.size(); ++rank) rows.push_back(rows_of(rank));
  const at::Tensor gathered = ranks.gather_rows(rows_of(ranks.rank()).requires_grad_());
  expect(gathered.equal(at::cat(rows)), "the rows of all ranks in their order");
  expect(!gathered.requires_grad(), "rows without gradients");
  expect(ranks.gather_rows(at::zeros({0, 2})).size(0) == 0, "no rows of any rank");
}

/// Parameters that every rank, odd ranks alone, and no rank uses; one larger than a bucket.
struct Uneven {
  explicit Uneven(at::Device device)
      : all(parameter({700, 500}, 1, device)),
        odd(parameter({5}, 2, device)),
        none(parameter({4}, 3, device)),
        first_part(parameter({3}, 4, device)) {}
  at::Tensor all, odd, none, first_part;
  static at::Tensor parameter(std::vector<int64_t> shape, uint64_t seed, at::Device device) {
    const at::Tensor values = test_support::TinyModel::parameter(std::move(shape), seed);
    return values.detach().to(device).requires_grad_(true);
  }
  std::vector<at::Tensor> parameters() const { return {all, odd, none, first_part}; }
  at::Tensor loss(int64_t rank, int64_t part) const {
    at::Tensor sum = (all * static_cast<double>(rank + 1 + part)).square().mean();
    if (rank % 2 == 1) sum = sum + odd.square().sum();
    if (part == 0) sum = sum + (first_part * static_cast<double>(rank)).sum();
    return sum;
  }
};

void check_reducer(const Communicator& ranks, at::Device device) {
  for (const bool overlap : {true, false})
    for (const char* compression : {"none", "bf16"}) {
      const Uneven model(device), whole(device);
      DistributedOptions options;
      options.bucket_mib = 1;
      options.overlap = overlap;
      options.compression = compression;
      GradientReducer reducer(ranks, model.parameters(), options);
      for (int step = 0; step < 2; ++step) {
        for (const auto& set : {model.parameters(), whole.parameters()})
          for (at::Tensor parameter : set) parameter.mutable_grad().reset();
        for (int64_t part = 0; part < 2; ++part) {
          const at::Tensor loss = model.loss(ranks.rank(), part);
          if (part == 1) reducer.prepare(loss);
          loss.backward();
          for (int64_t rank = 0; rank < ranks.size(); ++rank)
            (whole.loss(rank, part) / static_cast<double>(ranks.size())).backward();
        }
        reducer.finish();
        int64_t sent = 0, held = 0;
        for (const int64_t bytes : reducer.bucket_bytes()) sent += bytes;
        for (const at::Tensor& parameter : model.parameters())
          held += static_cast<int64_t>(parameter.nbytes());
        expect(sent == held, "buckets of all parameters, once");
        const double tolerance = std::strcmp(compression, "bf16") == 0 ? 0.02 : 1e-5;
        for (size_t i = 0; i < 4; ++i) {
          const at::Tensor ours = model.parameters()[i].grad(), goal = whole.parameters()[i].grad();
          expect(ours.defined() == goal.defined(), "a gradient where the whole batch has one");
          if (goal.defined())
            expect(ours.allclose(goal, tolerance, 1e-7),
                   "the whole batch's gradient of parameter " + std::to_string(i) + " with " +
                       compression);
        }
      }
    }
}

/// A segment whose activations are computed twice gives its gradients to the Reducer once.
void check_recompute(const Communicator& ranks) {
  torch::nn::Sequential plain(torch::nn::Linear(6, 8), torch::nn::Dropout(0.4),
                              torch::nn::Linear(8, 3));
  const auto copy = std::dynamic_pointer_cast<torch::nn::SequentialImpl>(plain->clone());
  GradientReducer plain_reducer(ranks, plain->parameters(), {});
  GradientReducer copy_reducer(ranks, copy->parameters(), {});
  const at::Tensor x = at::randn({5, 6}) * static_cast<double>(ranks.rank() + 1);
  for (int step = 0; step < 3; ++step) {
    at::manual_seed(7 + static_cast<uint64_t>(step));
    const at::Tensor loss = plain->forward(x).square().mean();
    plain_reducer.prepare(loss);
    loss.backward();
    plain_reducer.finish();
    at::manual_seed(7 + static_cast<uint64_t>(step));
    const at::Tensor outputs = recompute(
        [copy](const at::Tensor& given) { return copy->forward(given); }, x, copy->parameters());
    at::rand({3});  // what comes after draws other numbers
    const at::Tensor again = outputs.square().mean();
    copy_reducer.prepare(again);
    again.backward();
    copy_reducer.finish();
    for (size_t i = 0; i < plain->parameters().size(); ++i)
      expect(plain->parameters()[i].grad().equal(copy->parameters()[i].grad()),
             "the gradient of a plain run");
  }
}

/// Leaves a file whose time is the fault's.
void note_fault(const RunFolder& folder) {
  std::ofstream(folder.path() / "fault") << "now";
}

class FaultySource final : public LossSource {
 public:
  FaultySource(const test_support::TinyModel& model, std::string fault, const RunFolder& folder)
      : model_(model), fault_(std::move(fault)), folder_(folder) {}
  void fetch() override { ++step_; }
  std::vector<uint64_t> random_key(int64_t) const override {
    return {static_cast<uint64_t>(step_)};
  }
  void prepare(const std::function<void(int64_t)>&) override {}
  PartialLoss compute(int64_t) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    at::Tensor loss = model_.forward(at::randn({5, 3})).square().mean();
    if (step_ == 6 && fault_ != "none") {
      note_fault(folder_);
      if (fault_ == "throw") throw DataError("00003.jpg: expected an image, got a broken one.");
      if (fault_ == "nan") loss = loss * std::numeric_limits<double>::quiet_NaN();
      if (fault_ == "memory") at::empty({int64_t{1} << 52});
      if (fault_ == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
    }
    return {loss, {{"error", loss, 1.0}}, 0, 1};
  }
  std::string origin(int64_t) const override { return "sample " + std::to_string(step_); }

 private:
  const test_support::TinyModel& model_;
  std::string fault_;
  const RunFolder& folder_;
  int64_t step_ = 0;
};

int run_loop(const World& world, char** arguments) {
  const RunFolder folder(arguments[0], world.is_first());
  const bool faulty = world.rank() == std::atoll(arguments[2]);
  const std::string fault = faulty ? arguments[1] : "none";
  if (fault == "other_experiment") note_fault(folder);
  expect_same_everywhere(world, fault == "other_experiment" ? "a = 2\n" : "a = 1\n");
  TrainOptions options;
  options.iterations = 200;
  options.total_batch = world.size();
  options.checkpoint_every = 2;
  options.distributed.heartbeat_timeout = 5;
  options.distributed.progress_timeout = 6;
  const Communicator communicator(world, at::kCPU, options.distributed);
  Supervisor supervisor(world, communicator, options.distributed, rank_records(folder.path()));
  const PreemptionGuard guard;
  try {
    const test_support::TinyModel model;
    FaultySource source(model, fault, folder);
    TrainSettings settings;
    settings.samples_per_epoch = 7;
    settings.communicator = &communicator;
    settings.supervisor = &supervisor;
    settings.stop_requested = [&guard] { return guard.requested(); };
    const auto result = run_training(options, model.named(), source, folder, settings);
    supervisor.finish();
    return result.preempted ? kPreempted : kOk;
  } catch (const std::exception& error) {
    supervisor.fail(error);
    throw;
  }
}

int compare(char** arguments, const std::string& prefix) {
  const SafetensorsFile a = read_safetensors(arguments[0]), b = read_safetensors(arguments[1]);
  double worst = 0, squares = 0;
  for (const auto& [name, tensor] : a.tensors)
    if (name.starts_with(prefix)) squares += tensor.to(at::kDouble).square().sum().item<double>();
  // A bias before a softmax has a gradient of zero: what float32 leaves there is rounding of the
  // rest.
  const double least = 1e-7 * std::sqrt(squares);
  for (const auto& [name, tensor] : a.tensors) {
    if (!name.starts_with(prefix)) continue;
    const at::Tensor* other = b.find(name);
    if (!other) throw DataError(std::string(arguments[1]) + ": expected " + name + ", got none.");
    const at::Tensor x = tensor.to(at::kDouble), y = other->to(at::kDouble);
    const double scale = std::max({x.norm().item<double>(), least, 1e-12});
    worst = std::max(worst, (x - y).norm().item<double>() / scale);
  }
  std::printf("%.3g\n", worst);
  return kOk;
}

void check_nccl(const World& world) {
  const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(world.local_rank()));
  const at::Tensor values = at::tensor({1.5, -2.0}).to(device);
  if (world.size() == 1) {
    expect(sum_by_nccl_alone(values).equal(values), "the sum of one GPU");
    return;
  }
  const Communicator ranks(world, device, {});
  check_communicator(ranks, device);
  check_reducer(ranks, device);
}

int run(const World& world, int count, char** arguments) {
  at::set_num_threads(1);
  const std::string scenario = count > 1 ? arguments[1] : "";
  if (scenario == "compare" && (count == 4 || count == 5))
    return compare(arguments + 2, count == 5 ? arguments[4] : "");
  if (scenario == "loop" && count == 5) return run_loop(world, arguments + 2);
  if (scenario == "nccl") {
    check_nccl(world);
    return kOk;
  }
  const Communicator ranks(world, at::kCPU, {});
  if (scenario == "communicator")
    check_communicator(ranks, at::kCPU);
  else if (scenario == "reducer")
    check_reducer(ranks, at::kCPU);
  else if (scenario == "recompute")
    check_recompute(ranks);
  else
    throw ConfigError("expected a scenario, got '" + scenario + "'.");
  return kOk;
}

}  // namespace
}  // namespace tessera

int main(int count, char** arguments) {
  tessera::load_cuda_if_present();
  std::unique_ptr<tessera::World> world;
  const int status = tessera::run_main(
      [&] {
        world = std::make_unique<tessera::World>();
        return tessera::run(*world, count, arguments);
      },
      [&] { return world ? world->who() : std::string(); });
  if (world) world->finish(status);
  return status;
}
