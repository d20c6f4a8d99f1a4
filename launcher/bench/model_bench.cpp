#include "launcher/bench/model_bench.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/stopwatch.h"
#include "core/error.h"
#include "launcher/inference/video_inference.h"
#include "launcher/model/autocast.h"
#include "launcher/model/criterion_stages.h"
#include "launcher/model/part_times.h"
#include "launcher/peak_memory.h"
#include "launcher/training/clip_losses.h"
#include "launcher/training/memory_trial.h"
#include "launcher/training/optimiser.h"
#include "launcher/training/trainer.h"

namespace tessera::bench {
namespace {

using Json = nlohmann::ordered_json;

/// Parameters with what makes their steps.
class Stepper {
 public:
  Stepper(const std::vector<NamedTensor>& tensors, const OptimiserOptions& optimiser,
          const std::vector<ParameterGroupOptions>& groups, double clip_gradients)
      : optimiser_(optimiser, make_groups(tensors, optimiser, groups)),
        parameters_(optimiser_.parameters()),
        clip_gradients_(clip_gradients) {}

  void backward(const at::Tensor& loss) {
    loss.backward({}, /*retain_graph=*/false, /*create_graph=*/false, parameters_);
  }
  void step() {
    const at::Tensor norm = gradient_norm(parameters_);
    if (clip_gradients_ > 0) clip_gradients(parameters_, norm, clip_gradients_);
    optimiser_.step(/*lr_factor=*/1.0);
    optimiser_.zero_grad();
  }

 private:
  Optimiser optimiser_;
  std::vector<at::Tensor> parameters_;
  double clip_gradients_;
};

/// Training of one model on one clip over and over.
class TrainingSteps {
 public:
  TrainingSteps(const Experiment& experiment, VisModel& model, const ClipBatch& batch,
                const Targets& targets, at::Device device)
      : model_(model),
        batch_(batch),
        targets_(targets),
        criterion_(experiment.loss, model.facts(), criterion_stages(model)),
        auxiliaries_(make_auxiliaries(experiment, model.facts())),
        losses_(experiment, model, criterion_, auxiliaries_) {
    criterion_.to(device);
    const TrainOptions& options = experiment.train;
    freeze_parts(model, options);
    const std::vector<NamedTensor> tensors = tensors_to_train(model, criterion_);
    freeze_parameters(tensors, options.frozen);
    steppers_.emplace_back(tensors, options.optimiser, options.groups, options.clip_gradients);
    for (size_t i = 0; i < auxiliaries_.size(); ++i) {
      auxiliaries_[i]->to(device);
      const AuxiliaryTraining training =
          auxiliary_training(experiment.auxiliaries[i], *auxiliaries_[i]);
      steppers_.emplace_back(training.tensors, training.optimiser,
                             std::vector<ParameterGroupOptions>{}, training.clip_gradients);
    }
    if (options.memory.empty()) {
      model.recompute_activations(Recomputed::parts(options.recompute, options.mask_rows));
    } else {
      const ChosenStep chosen = choose_by_trial(experiment, model, criterion_, auxiliaries_, batch,
                                                targets, Communicator());
      std::printf("train.memory = %s: recomputing %s\n", options.memory.c_str(),
                  text_of(chosen.recomputed).c_str());
    }
  }

  void operator()() {
    model_.train();
    criterion_.train();
    const PartialLoss loss = losses_.compute(batch_, targets_);
    {
      RECORD_USER_SCOPE("backward");
      steppers_.at(0).backward(loss.total);
      for (size_t i = 1; i < steppers_.size(); ++i)
        steppers_[i].backward(loss.auxiliary_totals.at(i - 1));
    }
    RECORD_USER_SCOPE("optimiser");
    for (Stepper& stepper : steppers_) stepper.step();
  }

 private:
  VisModel& model_;
  const ClipBatch& batch_;
  const Targets& targets_;
  Criterion criterion_;
  Auxiliaries auxiliaries_;
  ClipLosses losses_;
  std::vector<Stepper> steppers_;
};

/// Relative difference in the 2-norm.
double difference(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm().clamp_min(1e-12)).item<double>();
}

struct Outputs {
  at::Tensor classes, boxes, masks;
};

Outputs outputs_of(VisModel& model, const ClipBatch& batch, const std::string& autocast) {
  constexpr int64_t kMostRows = 10;
  const at::NoGradGuard no_grad;
  model.eval();
  ForwardContext context;
  context.autocast = autocast_type(autocast);
  const VisModel::Output output = model.forward(batch, context);
  const LayerPrediction& last = output.last().predictions.last();
  const int64_t rows = std::min(kMostRows, last.classes.logits.size(-2));
  return {last.classes.logits, last.boxes,
          last.masks->logits(0, at::arange(rows, batch.frames.options().dtype(at::kLong)))};
}

Json difference_json(const Outputs& found, const Outputs& expected) {
  Json json{{"classes", difference(found.classes, expected.classes)}};
  if (expected.boxes.defined()) json["boxes"] = difference(found.boxes, expected.boxes);
  json["masks"] = difference(found.masks, expected.masks);
  json["mask_cells_that_change"] =
      ((found.masks > 0) != (expected.masks > 0)).to(at::kDouble).mean().item<double>();
  return json;
}

Round round_of(const PartTimes& times) {
  Round round{0, times.seconds()};
  for (const auto& [part, seconds] : round.parts) round.seconds += seconds;
  round.parts.erase("other");
  return round;
}

class ModelBench {
 public:
  ModelBench(const std::vector<std::pair<std::string, Experiment>>& experiments,
             const ModelBenchOptions& options)
      : options_(options),
        experiments_(experiments),
        model_(experiments.at(0).second.model, experiments.at(0).second.clip_facts()) {
    model_.to(options.device);
    int64_t parameters = 0;
    for (const NamedTensor& tensor : model_.named_tensors())
      if (tensor.is_parameter) parameters += tensor.tensor.numel();
    result_ = {{"device", options.device.str()},
               {"threads", at::get_num_threads()},
               {"clip",
                {{"frames", options.clip.frames},
                 {"height", options.clip.height},
                 {"width", options.clip.width},
                 {"instances", options.instances}}},
               {"rounds", options.rounds},
               {"parameters", parameters}};
    std::printf("%d frames of %dx%d, %d instances, %.2f M parameters, %d threads\n",
                int(options.clip.frames), int(options.clip.height), int(options.clip.width),
                int(options.instances), 1e-6 * double(parameters), at::get_num_threads());
  }

  void inference() {
    const data::InferenceVideo video = make_video(options_.clip);
    std::deque<VideoInference> inferences;
    for (const auto& [type, experiment] : experiments_)
      inferences.emplace_back(model_, experiment.video_options(), options_.device);
    run("inference", [&](size_t i) { inferences[i].run(video); });
  }

  void training() {
    ClipBatch batch = clip();
    Targets targets =
        moving_targets(batch, options_.instances, experiments_.at(0).second.data.num_categories);
    move_to(options_.device, at::kFloat, batch, targets);
    std::vector<std::unique_ptr<TrainingSteps>> steps;
    for (const auto& [type, experiment] : experiments_)
      steps.push_back(
          std::make_unique<TrainingSteps>(experiment, model_, batch, targets, options_.device));
    run("training", [&](size_t i) { (*steps[i])(); });
  }

  void differences() {
    if (experiments_.size() < 2) return;
    const ClipBatch batch = clip();
    const Outputs expected =
        outputs_of(model_, batch, experiments_.front().second.inference.autocast);
    for (size_t i = 1; i < experiments_.size(); ++i) {
      const auto& [type, experiment] = experiments_[i];
      const Json json =
          difference_json(outputs_of(model_, batch, experiment.inference.autocast), expected);
      std::printf("difference of %s: %s\n", type.c_str(), json.dump().c_str());
      result_["difference"][type] = json;
    }
  }

  Json take() { return std::move(result_); }

 private:
  ClipBatch clip() const {
    ClipBatch batch = noise_clip(options_.clip, model_.needs().size_divisor);
    Targets none;
    move_to(options_.device, at::kFloat, batch, none);
    return batch;
  }

  /// Rounds of `work(i)` for every experiment i in turn. Two come first that are not timed: one
  /// makes what stays (an optimiser's state, kept memory), one measures memory, for which what is
  /// kept is given back.
  void run(const std::string& what, const std::function<void(size_t)>& work) {
    std::vector<std::vector<Round>> rounds(experiments_.size());
    std::vector<MemoryUse> start(experiments_.size()), end(experiments_.size());
    for (int round = -2; round < options_.rounds; ++round) {
      for (size_t i = 0; i < experiments_.size(); ++i) {
        if (round == -1) {
          begin_peak(options_.device);
          start[i] = memory_use(options_.device);
        }
        PartTimes times(options_.device);
        {
          RECORD_USER_SCOPE("other");
          work(i);
        }
        if (round == -1) end[i] = memory_use(options_.device);
        if (round >= 0) rounds[i].push_back(round_of(times));
      }
    }
    for (size_t i = 0; i < experiments_.size(); ++i)
      record(what, experiments_[i].first, median_round(rounds[i]), start[i].now, end[i].peak);
  }

  void record(const std::string& what, const std::string& type, const Round& round, int64_t start,
              int64_t peak) {
    std::printf("%s %s: %.3f s, peak %.0f MB (%.0f MB before):", what.c_str(), type.c_str(),
                round.seconds, 1e-6 * double(peak), 1e-6 * double(start));
    for (const auto& [part, seconds] : round.parts) std::printf(" %s %.3f", part.c_str(), seconds);
    std::printf("\n");
    std::fflush(stdout);
    result_[what][type] = {{"seconds", round.seconds},
                           {"frames_per_second", double(options_.clip.frames) / round.seconds},
                           {"parts", round.parts},
                           {"peak_bytes", peak},
                           {"start_bytes", start}};
  }

  const ModelBenchOptions& options_;
  const std::vector<std::pair<std::string, Experiment>>& experiments_;
  VisModel model_;
  Json result_;
};

}  // namespace

Round median_round(const std::vector<Round>& rounds) {
  std::vector<double> seconds;
  std::map<std::string, std::vector<double>> parts;
  for (const Round& round : rounds) {
    seconds.push_back(round.seconds);
    for (const auto& [part, taken] : round.parts) parts[part].push_back(taken);
  }
  Round result{median(seconds), {}};
  double sum = 0;
  for (auto& [part, taken] : parts) {
    taken.resize(rounds.size(), 0.0);
    sum += result.parts[part] = median(taken);
  }
  result.parts["other"] = std::max(0.0, result.seconds - sum);
  return result;
}

Json bench_model(const std::vector<std::pair<std::string, Experiment>>& experiments,
                 const ModelBenchOptions& options) {
  at::manual_seed(1);
  ModelBench bench(experiments, options);
  bench.differences();
  if (options.inference) bench.inference();
  if (options.training) bench.training();
  return bench.take();
}

}  // namespace tessera::bench
