#include "launcher/training/training_loop.h"

#include <ATen/Context.h>

#include <chrono>
#include <cmath>
#include <map>

#include "core/error.h"
#include "launcher/training/metrics_log.h"
#include "launcher/training/progress.h"
#include "launcher/training/schedule.h"
#include "launcher/weights/load_weights.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// One seed for every step (splitmix64's finaliser). Seeding before each step is why checkpoints
/// hold no generator state and a resumed run draws the same numbers as an uninterrupted one.
uint64_t step_seed(int64_t seed, int64_t iteration) {
  uint64_t mixed = static_cast<uint64_t>(seed) * 0x9E3779B97F4A7C15ull +
                   static_cast<uint64_t>(iteration) + 0x9E3779B97F4A7C15ull;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
  return mixed ^ (mixed >> 31);
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
        length_(ScheduleLength::of(
            options, settings.samples_per_epoch / static_cast<double>(options.total_batch))),
        optimiser_(make_optimiser()),
        parameters_(optimiser_.parameters()) {
    state_.seed = options.seed;
    state_.experiment = settings.experiment;
    if (settings.resume) resume(*settings.resume);
    folder.expect_no_checkpoint_after(state_.iteration);
  }

  TrainResult run() {
    const int64_t end = settings_.stop_at.value_or(length_.iterations);
    if (end > length_.iterations)
      throw ConfigError("--iterations: expected at most the " + std::to_string(length_.iterations) +
                        " iterations of the experiment, got " + std::to_string(end) +
                        ". Set train.iterations or train.epochs to train longer.");
    MetricsLog log(folder_.metrics(), state_.iteration);
    std::ostream nowhere(nullptr);
    Progress progress(settings_.progress ? *settings_.progress : nowhere, settings_.terminal, end);
    TrainResult result;
    int64_t unlogged_steps = 0;
    double data_seconds = 0;
    Clock::time_point since = Clock::now();
    while (state_.iteration < end && !result.preempted) {
      StepMetrics metrics = step(data_seconds);
      ++unlogged_steps;
      result.last_loss = metrics.total;
      const bool last = state_.iteration == end;
      if (is_logged(state_.iteration) || last) {
        metrics.seconds = seconds_since(since) / static_cast<double>(unlogged_steps);
        metrics.data_seconds = data_seconds / static_cast<double>(unlogged_steps);
        if (is_logged(state_.iteration)) log.write(metrics);
        progress.show(metrics);
        unlogged_steps = 0;
        data_seconds = 0;
        since = Clock::now();
      }
      if (is_validated(state_.iteration)) {
        const auto start = Clock::now();
        validate(log, progress);
        since += Clock::now() - start;  // metrics are about training alone
      }
      result.preempted = settings_.stop_requested() && !last;
      if (state_.iteration % options_.checkpoint_every == 0 || last || result.preempted)
        last_checkpoint_ = save_checkpoint(folder_, state_, model_, optimiser_, options_.keep_last);
    }
    result.iteration = state_.iteration;
    result.checkpoint = last_checkpoint_;
    result.best = state_.best;
    return result;
  }

 private:
  Optimiser make_optimiser() const {
    freeze_parameters(model_, options_.frozen);
    return Optimiser(options_.optimiser, make_groups(model_, options_.optimiser, options_.groups));
  }

  void resume(const std::filesystem::path& file) {
    const TrainState stored = load_checkpoint(file, model_, optimiser_);
    if (stored.seed != options_.seed)
      throw ConfigError("train.seed: expected " + std::to_string(stored.seed) + " as in " +
                        file.string() + ", got " + std::to_string(options_.seed) + ".");
    state_.iteration = stored.iteration;
    state_.consumed_samples = stored.consumed_samples;
    state_.best = stored.best;
    last_checkpoint_ = file;
  }

  /// One optimiser step; adds what was spent waiting for clips to `data_seconds`.
  StepMetrics step(double& data_seconds) {
    at::manual_seed(step_seed(options_.seed, state_.iteration));
    StepMetrics metrics;
    std::map<std::string, size_t> places;
    optimiser_.zero_grad();
    const double share = 1.0 / static_cast<double>(options_.accumulation);
    std::string origins;
    for (int64_t part = 0; part < options_.accumulation; ++part) {
      const auto start = Clock::now();
      source_.fetch();
      data_seconds += seconds_since(start);
      const PartialLoss loss = compute();
      if (part == 0) metrics.epoch = loss.epoch;
      origins += (part == 0 ? "" : "; ") + source_.origin();
      const double total = loss.total.item<double>();
      if (!std::isfinite(total)) fail_not_finite(total, loss);
      (share == 1.0 ? loss.total : loss.total * share).backward();
      metrics.total += share * total;
      if (is_logged(state_.iteration + 1)) add_terms(loss, share, metrics, places);
      state_.consumed_samples += loss.num_samples;
    }
    const double factor = schedule_factor(options_.schedule, length_, state_.iteration);
    metrics.lr = options_.optimiser.lr * factor;
    const at::Tensor norm = gradient_norm(parameters_);
    metrics.grad_norm = norm.item<double>();
    if (!std::isfinite(metrics.grad_norm)) fail_gradient(metrics, origins);
    if (options_.clip_gradients > 0) clip_gradients(parameters_, norm, options_.clip_gradients);
    optimiser_.step(factor);
    metrics.iteration = ++state_.iteration;
    return metrics;
  }

  // A diverged model often fails before it has a loss: in the matcher, for one.
  PartialLoss compute() {
    try {
      return source_.compute();
    } catch (const RuntimeError& error) {
      throw RuntimeError("iteration " + std::to_string(state_.iteration + 1) + ": " + error.what() +
                         "\n  Batch: " + source_.origin() + "\n " + kept());
    }
  }

  bool is_validated(int64_t iteration) const {
    if (!settings_.validate || options_.evaluate_every == 0) return false;
    return iteration % options_.evaluate_every == 0 || iteration == length_.iterations;
  }

  /// Before the checkpoint of the same iteration, which then knows of it.
  void validate(MetricsLog& log, Progress& progress) {
    const auto start = Clock::now();
    const std::vector<evaluation::Stat> stats = settings_.validate();
    log.write_validation(state_.iteration, stats, seconds_since(start));
    progress.show_validation(state_.iteration, stats, seconds_since(start_));
    const double score = stats.at(0).value;
    if (state_.best && score <= *state_.best) return;
    state_.best = score;
    save_weights(
        model_, folder_.best_weights(),
        {{"iteration", std::to_string(state_.iteration)}, {"experiment", state_.experiment}});
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

  std::string kept() const {
    return last_checkpoint_.empty()
               ? " There is no checkpoint yet."
               : " The last good checkpoint is " + last_checkpoint_.string() + ".";
  }

  [[noreturn]] void fail_not_finite(double total, const PartialLoss& loss) const {
    std::vector<std::string> terms;
    for (const NamedLoss& term : loss.terms)
      terms.push_back(term.name + " = " + std::to_string(term.value.item<double>()) + " (weight " +
                      std::to_string(term.weight) + ")");
    throw RuntimeError("iteration " + std::to_string(state_.iteration + 1) +
                       ": expected a finite loss, got " + std::to_string(total) +
                       ".\n  Terms: " + join(terms) + "\n  Batch: " + source_.origin() + "\n " +
                       kept() + " Look at these clips, or lower train.optimiser.lr.");
  }

  [[noreturn]] void fail_gradient(const StepMetrics& metrics, const std::string& origins) const {
    std::vector<std::string> names;
    for (const auto& tensor : model_)
      if (tensor.is_parameter && tensor.tensor.grad().defined() &&
          !std::isfinite(tensor.tensor.grad().sum().item<double>()))
        names.push_back(tensor.name);
    throw RuntimeError("iteration " + std::to_string(state_.iteration + 1) +
                       ": expected finite gradients, got a norm of " +
                       std::to_string(metrics.grad_norm) + " with a loss of " +
                       std::to_string(metrics.total) + ".\n  Parameters: " + join(names) +
                       "\n  Batch: " + origins + "\n " + kept() +
                       " Look at these clips, or lower train.optimiser.lr.");
  }

  const TrainOptions& options_;
  const std::vector<NamedTensor>& model_;
  LossSource& source_;
  const RunFolder& folder_;
  const TrainSettings& settings_;
  ScheduleLength length_;
  Optimiser optimiser_;
  std::vector<at::Tensor> parameters_;
  TrainState state_;
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
