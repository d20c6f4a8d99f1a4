#include "launcher/training/training_loop.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/structures/random.h"
#include "launcher/event_log.h"
#include "launcher/training/checkpoint_writer.h"
#include "launcher/training/learner.h"
#include "launcher/training/metrics_log.h"
#include "launcher/training/progress.h"
#include "launcher/training/schedule.h"
#include "launcher/training/training_failure.h"
#include "launcher/training/weight_average.h"
#include "launcher/weights/checkpoint_format.h"
#include "launcher/weights/load_weights.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Seeding before each part with what is in it is why checkpoints hold no generator state, why a
/// resumed run draws the same numbers as an uninterrupted one, and why ranks draw different ones.
uint64_t part_seed(int64_t seed, const std::vector<uint64_t>& key) {
  auto mixed = static_cast<uint64_t>(seed);
  for (const uint64_t number : key) mixed = Random({mixed, number}).next();
  return mixed;
}

class TrainingLoop {
 public:
  TrainingLoop(const TrainOptions& options, const std::vector<NamedTensor>& model,
               LossSource& source, const RunFolder& folder, const TrainSettings& settings)
      : options_(options),
        model_(model),
        source_(source),
        folder_(folder),
        settings_(settings),
        communicator_(settings.communicator ? *settings.communicator : alone_),
        length_(schedule_length(
            options, settings.samples_per_epoch / static_cast<double>(options.total_batch))),
        all_tensors_(model),
        writer_(folder, options.keep_last,
                [this](int64_t iteration, const std::filesystem::path& file) {
                  if (settings_.log)
                    settings_.log->write(EventLog::Level::info, "checkpoint",
                                         "checkpoint: " + file.string(),
                                         {{"iteration", iteration}, {"file", file.string()}});
                }) {
    freeze_parameters(model_, options_.frozen);
    add_learner("", model_, options_.optimiser, options_.groups,
                {options_.schedule, options_.schedules}, options_.clip_gradients);
    for (const AuxiliaryTraining& auxiliary : settings.auxiliaries) {
      add_learner(auxiliary.name, auxiliary.tensors, auxiliary.optimiser, {}, {auxiliary.schedule},
                  auxiliary.clip_gradients);
      all_tensors_.insert(all_tensors_.end(), auxiliary.tensors.begin(), auxiliary.tensors.end());
    }
    if (options_.ema) average_.emplace(*options_.ema, model_);
    state_.seed = options.seed;
    state_.experiment = settings.experiment;
    state_.categories = settings.categories;
    if (settings.resume) resume(*settings.resume);
    if (communicator_.is_first()) folder.expect_no_checkpoint_after(state_.iteration);
    std::vector<at::Tensor> tensors;
    for (const auto& tensor : all_tensors_) {
      tensors.push_back(tensor.tensor);
      if (!tensor.is_parameter && !tensor.is_memory && tensor.tensor.is_floating_point())
        buffers_.push_back({tensor.tensor, 0});
    }
    if (average_)
      for (const auto& [name, tensor] : average_->averages()) tensors.push_back(tensor);
    communicator_.take_from_first(tensors);
    if (average_ && !settings.resume) average_->begin();
    for (Buffer& buffer : buffers_) buffer.version = buffer.tensor._version();
  }

  TrainResult run() {
    const int64_t end = settings_.stop_at.value_or(length_.iterations);
    if (end > length_.iterations)
      throw ConfigError("--iterations: expected at most the " + std::to_string(length_.iterations) +
                        " iterations of the experiment, got " + std::to_string(end) +
                        ". Set train.iterations or train.epochs to train longer.");
    const bool writes = communicator_.is_first();
    std::optional<MetricsLog> log;
    if (writes) log.emplace(folder_.metrics(), state_.iteration, options_.tensorboard);
    std::ostream nowhere(nullptr);
    Progress progress(settings_.progress && writes ? *settings_.progress : nowhere,
                      settings_.terminal, end, settings_.log);
    std::ofstream profile;
    if (settings_.profile) profile.open(folder_.profile(communicator_.rank()), std::ios::app);
    TrainResult result;
    int64_t unlogged_steps = 0;
    double data_seconds = 0;
    Clock::time_point since = Clock::now();
    while (state_.iteration < end && !result.preempted && !stops_early()) {
      StepTimes times;
      StepMetrics metrics = step(times, state_.iteration + 1 == end);
      ++unlogged_steps;
      data_seconds += times.data;
      if (profile.is_open()) write_times(profile, times);
      bool last = state_.iteration == end;
      if (is_logged(state_.iteration) || last) {
        result.last_loss = metrics.total;
        metrics.seconds = seconds_since(since) / static_cast<double>(unlogged_steps);
        metrics.data_seconds = data_seconds / static_cast<double>(unlogged_steps);
        if (log && is_logged(state_.iteration)) log->write(metrics);
        progress.show(metrics);
        unlogged_steps = 0;
        data_seconds = 0;
        since = Clock::now();
      }
      if (is_validated(state_.iteration)) {
        const auto start = Clock::now();
        validate(log ? &*log : nullptr, progress);
        since += Clock::now() - start;  // metrics are about training alone
        last = last || stops_early();
      }
      // A signal may reach one rank before another; all must stop after the same step.
      result.preempted = communicator_.maximum(settings_.stop_requested() ? 1 : 0) > 0 && !last;
      if (state_.iteration % options_.checkpoint_every == 0 || last || result.preempted)
        checkpoint();
    }
    writer_.finish();
    communicator_.wait_for_all();  // nobody leaves, so that nobody is ended, before it is written
    result.iteration = state_.iteration;
    result.checkpoint = last_checkpoint_;
    result.best = state_.best;
    result.stopped_early = stops_early();
    return result;
  }

 private:
  struct Buffer {
    at::Tensor tensor;
    int64_t version;  // when the ranks' were last the same
  };

  void add_learner(const std::string& name, const std::vector<NamedTensor>& tensors,
                   const OptimiserOptions& optimiser,
                   const std::vector<ParameterGroupOptions>& groups, const Schedules& schedules,
                   double clip_gradients) {
    schedules.own.kind->check(length_);
    learners_.push_back(std::make_unique<Learner>(name, tensors, optimiser, groups, schedules,
                                                  clip_gradients, communicator_,
                                                  options_.distributed));
    optimisers_.emplace_back(name, &learners_.back()->optimiser());
  }

  void enter(Phase phase) {
    if (settings_.supervisor) settings_.supervisor->enter(phase, state_.iteration + 1);
  }

  void resume(const std::filesystem::path& file) {
    const TrainState stored = load_checkpoint(file, all_tensors_, optimisers_, average());
    if (stored.seed != options_.seed)
      throw ConfigError("train.seed: expected " + std::to_string(stored.seed) + " as in " +
                        file.string() + ", got " + std::to_string(options_.seed) + ".");
    state_.iteration = stored.iteration;
    state_.consumed_samples = stored.consumed_samples;
    state_.best = stored.best;
    state_.validations_since_best = stored.validations_since_best;
    last_checkpoint_ = file;
  }

  void checkpoint() {
    enter(Phase::checkpoint);
    if (communicator_.is_first())
      writer_.write(take_snapshot(state_, all_tensors_, optimisers_, average()));
    last_checkpoint_ = folder_.checkpoint(state_.iteration);
  }

  /// One optimiser step of every learner.
  StepMetrics step(StepTimes& times, bool last_step) {
    const auto begin = Clock::now();
    const bool logged = is_logged(state_.iteration + 1) || last_step;
    StepMetrics metrics;
    std::map<std::string, size_t> places;
    for (auto& learner : learners_) learner->optimiser().zero_grad();
    const double share = 1.0 / static_cast<double>(options_.accumulation);
    auto start = Clock::now();
    auto lap = [&start] {
      const double seconds = seconds_since(start);
      start = Clock::now();
      return seconds;
    };
    enter(Phase::waiting_for_data);
    source_.set_progress(static_cast<double>(state_.iteration) /
                         static_cast<double>(length_.iterations));
    source_.fetch();
    times.data += lap();
    enter(Phase::forward);
    prepare();
    for (int64_t part = 0; part < options_.accumulation; ++part) {
      enter(Phase::forward);
      seed(part);
      const PartialLoss loss = compute(part);
      if (part == 0) metrics.epoch = loss.epoch;
      const double total = loss.total.item<double>();
      if (!std::isfinite(total)) fail_not_finite(failed(part), total, loss);
      times.forward += lap();
      enter(Phase::backward);
      backward(loss, share, part + 1 == options_.accumulation, times);
      times.backward += lap();
      metrics.total += share * total;
      if (logged) add_terms(loss, share, metrics, places);
      state_.consumed_samples += loss.num_samples * communicator_.size();
    }
    enter(Phase::optimiser_step);
    const auto optimiser_start = Clock::now();
    if (logged) average(metrics);
    metrics.lr =
        options_.optimiser.lr * schedule_factor(options_.schedule, length_, state_.iteration);
    for (auto& learner : learners_) {
      const double norm = learner->step(length_, state_.iteration);
      if (learner->name().empty()) metrics.grad_norm = norm;
      if (!std::isfinite(norm)) fail_gradient(failed(), *learner, norm, metrics.total);
    }
    average_buffers();
    metrics.iteration = ++state_.iteration;
    if (average_) average_->update(state_.iteration);
    times.optimiser = seconds_since(optimiser_start);
    times.total = seconds_since(begin);
    return metrics;
  }

  void backward(const PartialLoss& loss, double share, bool last, StepTimes& times) {
    if (loss.auxiliary_totals.size() + 1 != learners_.size())
      throw RuntimeError("train: expected the losses of " + std::to_string(learners_.size() - 1) +
                         " auxiliary networks, got " +
                         std::to_string(loss.auxiliary_totals.size()) + ".");
    for (size_t i = 0; i < learners_.size(); ++i) {
      const at::Tensor& total = i == 0 ? loss.total : loss.auxiliary_totals[i - 1];
      learners_[i]->backward(share == 1.0 ? total : total * share, last);
      if (!last) continue;
      times.exposed += learners_[i]->reducer().exposed_seconds();
      const auto buckets = learners_[i]->reducer().bucket_bytes();
      times.bucket_bytes.insert(times.bucket_bytes.end(), buckets.begin(), buckets.end());
    }
  }

  /// Losses are those of the whole batch.
  void average(StepMetrics& metrics) const {
    if (communicator_.size() == 1) return;
    std::vector<double> values{metrics.total};
    for (const auto& [name, value] : metrics.terms) values.push_back(value);
    const at::Tensor mean = communicator_.mean(at::tensor(values, at::kDouble));
    metrics.total = mean[0].item<double>();
    for (size_t i = 0; i < metrics.terms.size(); ++i)
      metrics.terms[i].second = mean[static_cast<int64_t>(i) + 1].item<double>();
  }

  /// Running statistics that a step changed; most models have none.
  void average_buffers() {
    if (communicator_.size() == 1) return;
    for (Buffer& buffer : buffers_) {
      if (buffer.tensor._version() == buffer.version) continue;
      buffer.tensor.detach().copy_(communicator_.mean(buffer.tensor));
      buffer.version = buffer.tensor._version();
    }
  }

  void write_times(std::ofstream& file, const StepTimes& times) const {
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    nlohmann::ordered_json line{{"iteration", state_.iteration},
                                {"rank", communicator_.rank()},
                                {"time", now.count()},
                                {"seconds", times.total},
                                {"data", times.data},
                                {"forward", times.forward},
                                {"backward", times.backward},
                                {"exposed", times.exposed},
                                {"optimiser", times.optimiser}};
    if (!times.bucket_bytes.empty()) line["bucket_bytes"] = times.bucket_bytes;
    file << line.dump() << std::endl;
  }

  void seed(int64_t part) const {
    at::manual_seed(part_seed(options_.seed, source_.random_key(part)));
  }

  void prepare() {
    int64_t current = 0;
    try {
      source_.prepare([&](int64_t part) {
        current = part;
        seed(part);
      });
    } catch (const RuntimeError& error) {
      fail_in_model(failed(current), error.what());
    }
  }

  PartialLoss compute(int64_t part) {
    try {
      return source_.compute(part);
    } catch (const RuntimeError& error) {
      fail_in_model(failed(part), error.what());
    }
  }

  FailedStep failed(int64_t part) const {
    return {state_.iteration + 1, source_.origin(part), last_checkpoint_};
  }
  FailedStep failed() const {
    std::vector<std::string> origins;
    for (int64_t part = 0; part < options_.accumulation; ++part)
      origins.push_back(source_.origin(part));
    return {state_.iteration + 1, join(origins, "; "), last_checkpoint_};
  }

  bool is_validated(int64_t iteration) const {
    if (!settings_.validate || options_.evaluate_every == 0) return false;
    return iteration % options_.evaluate_every == 0 || iteration == length_.iterations;
  }

  WeightAverage* average() { return average_ ? &*average_ : nullptr; }

  /// Whether train.patience ends the run here: equal on all ranks, as the scores are.
  bool stops_early() const {
    return options_.patience && state_.validations_since_best >= *options_.patience &&
           state_.iteration < length_.iterations;
  }

  /// Before the checkpoint of the same iteration, which then knows of it. Scores, and keeps where
  /// they are the best, the averaged weights where there are any.
  void validate(MetricsLog* log, Progress& progress) {
    enter(Phase::validation);
    std::optional<WeightAverage::InModel> averaged;
    if (average_) averaged.emplace(*average_);
    const auto start = Clock::now();
    const std::vector<evaluation::Stat> stats = settings_.validate();
    const double score = stats.at(0).value;
    const bool is_best = !state_.best || score > *state_.best;
    if (is_best) state_.best = score;
    std::optional<int64_t> since_best;
    if (options_.patience)
      since_best = state_.validations_since_best = is_best ? 0 : state_.validations_since_best + 1;
    if (log)
      log->write_validation(state_.iteration, stats, seconds_since(start), since_best,
                            stops_early());
    progress.show_validation(state_.iteration, stats, seconds_since(start_));
    if (!is_best || !log) return;
    TensorMetadata notes{{"iteration", std::to_string(state_.iteration)},
                         {"experiment", state_.experiment}};
    if (!state_.categories.empty()) notes[std::string(kCategoriesKey)] = state_.categories;
    save_weights(model_, folder_.best_weights(), notes);
  }

  // Not where stop_at ends a run: its lines must be those of an uninterrupted one.
  bool is_logged(int64_t iteration) const {
    return iteration == 1 || iteration % options_.log_every == 0 || iteration == length_.iterations;
  }

  static void add_terms(const PartialLoss& loss, double share, StepMetrics& metrics,
                        std::map<std::string, size_t>& places) {
    for (const NamedLoss& term : loss.terms) {
      const auto [place, is_new] = places.emplace(term.name, metrics.terms.size());
      if (is_new) metrics.terms.emplace_back(term.name, 0.0);
      metrics.terms[place->second].second += share * term.value.item<double>();
    }
  }

  const TrainOptions& options_;
  const std::vector<NamedTensor>& model_;
  LossSource& source_;
  const RunFolder& folder_;
  const TrainSettings& settings_;
  const Communicator alone_;
  const Communicator& communicator_;
  ScheduleLength length_;
  std::vector<NamedTensor> all_tensors_;  // the model's and the auxiliary networks'
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<Learner>> learners_;  // the model first
  NamedOptimisers optimisers_;
  std::optional<WeightAverage> average_;
  TrainState state_;
  CheckpointWriter writer_;
  std::filesystem::path last_checkpoint_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

TrainResult run_training(const TrainOptions& options, const std::vector<NamedTensor>& model,
                         LossSource& source, const RunFolder& folder,
                         const TrainSettings& settings) {
  return TrainingLoop(options, model, source, folder, settings).run();
}

}  // namespace tessera
