#include "launcher/preflight/preflight.h"
#include "launcher/model/criterion_stages.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "launcher/inference/video_inference.h"
#include "launcher/inference/window_runner.h"
#include "launcher/peak_memory.h"
#include "launcher/preflight/data_checks.h"
#include "launcher/preflight/small_video.h"
#include "launcher/preflight/window_memory.h"
#include "launcher/training/clip_losses.h"
#include "launcher/training/device.h"
#include "launcher/training/first_weights.h"
#include "launcher/training/memory_limit.h"
#include "launcher/training/optimiser.h"
#include "launcher/training/schedule.h"
#include "launcher/training/trainer.h"
#include "launcher/weights/initial_weights.h"

namespace tessera::preflight {
namespace {

// The sides of the frames of the small step, before padding: more than one cell at each level.
constexpr int64_t kSmallHeight = 96, kSmallWidth = 160;
constexpr int64_t kSmallInstances = 2;

/// Everything that training makes before its first step, as far as it can be made.
struct Trained {
  std::unique_ptr<VisModel> model;
  std::unique_ptr<Criterion> criterion;
  std::optional<Auxiliaries> auxiliaries;
  bool fits_clips = false;  // the experiment's
};

void check_batch(const Experiment& experiment, int64_t ranks, Findings& findings) {
  if (ranks > 1 && !World::is_built_with_mpi())
    findings.problem("ranks", "expected a build with MPI for " + std::to_string(ranks) +
                                  " ranks, got one without. Install Open MPI and configure with "
                                  "-DTESSERA_MPI=ON.");
  const TrainOptions& options = experiment.train;
  findings.attempt("batch", [&] {
    const int64_t clips = clips_per_part(options, ranks);
    return std::to_string(options.total_batch) + " clips a step: " + std::to_string(ranks) +
           " rank(s), " + std::to_string(options.accumulation) + " part(s) of " +
           std::to_string(clips) + " clip(s) each.";
  });
}

/// Drops of the learning rate that training never reaches.
void check_schedule(const std::string& key, const ScheduleOptions& schedule,
                    const TrainOptions& options, Findings& findings) {
  const auto length = static_cast<double>(options.epochs ? *options.epochs : *options.iterations);
  const std::vector<double> drops = schedule.kind->drops();
  if (drops.empty() || drops.back() < length) return;
  char drop[32];
  std::snprintf(drop, sizeof(drop), "%.6g", drops.back());
  findings.warn("schedule", key + ".drops: the drop at " + drop +
                                (options.epochs ? " epochs" : " iterations") +
                                " comes after the end of the training.");
}

void check_model(const Experiment& experiment, Trained& trained, Findings& findings) {
  findings.attempt("model", [&] {
    at::manual_seed(static_cast<uint64_t>(experiment.train.seed));
    trained.model = std::make_unique<VisModel>(experiment.model, experiment.clip_facts());
    int64_t parameters = 0;
    for (const NamedTensor& tensor : trained.model->named_tensors())
      if (tensor.is_parameter) parameters += tensor.tensor.numel();
    return std::to_string(parameters) + " parameters.";
  });
  if (!trained.model) return;
  findings.attempt("frozen parts", [&] {
    freeze_parts(*trained.model, experiment.train);
    return "";
  });
  trained.fits_clips = findings.attempt("clip length", [&] {
    expect_trainable(experiment, *trained.model);
    return "";
  });
  findings.attempt("losses", [&] {
    trained.criterion = std::make_unique<Criterion>(experiment.loss, trained.model->facts(),
                                                    criterion_stages(*trained.model));
    return "";
  });
  findings.attempt("auxiliaries", [&] {
    trained.auxiliaries = make_auxiliaries(experiment, trained.model->facts());
    return "";
  });
  findings.attempt("recompute", [&] {
    trained.model->recompute_activations(
        Recomputed::parts(experiment.train.recompute, experiment.train.mask_rows));
    return "";
  });
}

void check_weights(const Experiment& experiment, const std::string& file, VisModel& model,
                   Findings& findings) {
  findings.attempt("weights", [&] {
    expect_initial_weights(experiment.weights, file);
    return "";
  });
  findings.attempt("weights", [&]() -> std::string {
    std::vector<std::string> texts;
    for (const auto& [weights, report] : load_first_weights(model, experiment, file)) {
      if (!report.unused_patterns.empty()) findings.warn("weights", weights + ": " + report.text());
      texts.push_back(weights + ": " + std::to_string(report.loaded.size()) + " tensors.");
    }
    return texts.empty() ? "random" : join(texts, " ");
  });
}

void check_optimiser(const Experiment& experiment, const Trained& trained, Findings& findings) {
  const TrainOptions& options = experiment.train;
  const auto tensors = tensors_to_train(*trained.model, *trained.criterion);
  const bool froze = findings.attempt("optimiser", [&] {
    freeze_parameters(tensors, options.frozen);
    return "";
  });
  findings.attempt("optimiser", [&]() -> std::string {
    const Optimiser optimiser(options.optimiser,
                              make_groups(tensors, options.optimiser, options.groups));
    return froze ? std::to_string(optimiser.groups().size()) + " group(s) of parameters." : "";
  });
  if (!trained.auxiliaries) return;
  for (size_t i = 0; i < trained.auxiliaries->size(); ++i)
    findings.attempt("auxiliaries", [&] {
      const auto training =
          auxiliary_training(experiment.auxiliaries[i], *trained.auxiliaries->at(i));
      const Optimiser optimiser(training.optimiser,
                                make_groups(training.tensors, training.optimiser, {}));
      return "";
    });
}

/// One step on a small clip of noise: shapes that parts do not accept from each other.
void check_step(const Experiment& experiment, const Trained& trained, Findings& findings) {
  findings.attempt("small step", [&] {
    VisModel& model = *trained.model;
    model.train();
    trained.criterion->train();
    for (const auto& auxiliary : *trained.auxiliaries) auxiliary->train();
    const ClipSize size{experiment.data.num_frames, kSmallHeight, kSmallWidth};
    const ClipBatch batch = noise_clip(size, model.needs().size_divisor);
    const Targets targets = moving_targets(batch, kSmallInstances, experiment.data.num_categories);
    const ClipLosses losses(experiment, model, *trained.criterion, *trained.auxiliaries);
    const PartialLoss loss = losses.compute(batch, targets);
    loss.total.backward({}, /*retain_graph=*/!loss.auxiliary_totals.empty());
    for (const at::Tensor& total : loss.auxiliary_totals) total.backward({}, true);
    return std::to_string(size.frames) + " frames of " + std::to_string(size.height) + "x" +
           std::to_string(size.width) + ", forward and backward.";
  });
}

/// Two windows of a small video, linked; or one where the window is the whole video.
void check_windows(const Experiment& experiment, VisModel& model, Findings& findings) {
  findings.attempt("windows", [&] {
    VideoOptions small = experiment.video_options();
    InferenceOptions& options = small.inference;
    options.frames = {};
    options.short_side = kSmallHeight;
    options.max_side = kSmallWidth;
    const VideoInference inference(model, small, at::Device(at::kCPU));
    const int64_t fixed = model.needs().fixed_frames;
    const int64_t window = fixed > 0 ? fixed : options.window.frames;
    const int64_t frames = window > 0 ? std::max(window + 1, 2 * window - options.overlap)
                                      : std::max<int64_t>(2, experiment.data.num_frames);
    inference.run(noise_video({frames, kSmallHeight, kSmallWidth}));
    return window == 0 ? "One window holds a whole video."
                       : "Windows of " + std::to_string(window) + " frames, overlap " +
                             std::to_string(options.overlap) + ".";
  });
}

ClipSize longest_video(const OpenedData& opened) {
  ClipSize longest;
  const auto look_at = [&](int64_t frames, int64_t height, int64_t width) {
    const auto pixels = [](const ClipSize& size) { return size.frames * size.height * size.width; };
    const ClipSize size{frames, height, width};
    if (pixels(size) > pixels(longest)) longest = size;
  };
  for (const data::InferenceVideo& video : opened.validation_videos)
    look_at(video.length, video.height, video.width);
  if (longest.frames == 0 && opened.train)
    for (const data::Video& video : opened.train->annotations().videos)
      look_at(video.length, video.height, video.width);
  return longest;
}

void check_window_memory(const Experiment& experiment, VisModel& model, const OpenedData& opened,
                         Findings& findings) {
  const bool sees_video = first_whole_video_stage(model) < model.num_stages();
  if (!sees_video && (model.needs().fixed_frames > 0 || !experiment.inference.window.is_all()))
    return;
  ClipSize longest = longest_video(opened);
  if (longest.frames == 0) return;
  if (!experiment.inference.frames.is_all())
    longest.frames = std::min(longest.frames, experiment.inference.frames.frames);
  const std::string video =
      std::string("The longest ") + (opened.validation_videos.empty() ? "training" : "validation") +
      " video, " + std::to_string(longest.frames) + " frames of " + std::to_string(longest.height) +
      "x" + std::to_string(longest.width) + ", ";
  try {
    const int64_t needed = estimate_window_memory(model, experiment, longest);
    const int64_t there = reachable_memory();
    const std::string text =
        video + "takes about " + memory_size_text(needed) +
        (sees_video ? " before a stage that sees the whole video" : " as one window") +
        " on a CPU; this process can have " + memory_size_text(there) + ".";
    bool on_cpu = true;
    try {
      on_cpu = choose_device(experiment.train, 0).is_cpu();
    } catch (const std::exception&) {
      on_cpu = false;  // reported as a problem of its own
    }
    if (on_cpu && needed > there)
      findings.problem("memory",
                       text + (sees_video ? " Set inference.short_side to fewer pixels."
                                          : " Set inference.window to a number of frames, "
                                            "or inference.short_side to fewer pixels."));
    else
      findings.ok("memory", text);
  } catch (const std::exception& error) {
    findings.warn("memory", video +
                                "may not fit into memory as one window: it could not be "
                                "estimated (" +
                                error.what() + ")");
  }
}

}  // namespace

Findings check_experiment(const Experiment& experiment, const std::string& file, int64_t ranks) {
  Findings findings;
  check_batch(experiment, ranks, findings);
  check_schedule("train.schedule", experiment.train.schedule, experiment.train, findings);
  for (const auto& [name, schedule] : experiment.train.schedules)
    check_schedule("train.schedules." + name, schedule, experiment.train, findings);
  for (const AuxiliaryOptions& auxiliary : experiment.auxiliaries)
    if (auxiliary.schedule)
      check_schedule("auxiliaries." + auxiliary.name + ".schedule", *auxiliary.schedule,
                     experiment.train, findings);
  findings.attempt("device", [&] { return choose_device(experiment.train, 0).str(); });
  const OpenedData opened = check_data(experiment, findings);
  if (opened.train)
    findings.attempt("schedule", [&] {
      const TrainOptions& options = experiment.train;
      const auto clips = static_cast<double>(opened.train->size());
      const auto length =
          schedule_length(options, clips / static_cast<double>(options.total_batch));
      return std::to_string(length.iterations) + " iterations.";
    });
  Trained trained;
  check_model(experiment, trained, findings);
  if (!trained.model) return findings;
  check_weights(experiment, file, *trained.model, findings);
  if (trained.criterion) {
    check_optimiser(experiment, trained, findings);
    if (trained.auxiliaries && trained.fits_clips) check_step(experiment, trained, findings);
  }
  check_windows(experiment, *trained.model, findings);
  check_window_memory(experiment, *trained.model, opened, findings);
  return findings;
}

}  // namespace tessera::preflight
