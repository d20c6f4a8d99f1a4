#include <algorithm>
#include <cstdio>
#include <iostream>
#include <set>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/data/image_io.h"
#include "launcher/evaluation/results_writer.h"
#include "launcher/inference/video_inference.h"
#include "launcher/training/device.h"
#include "launcher/visualisation/overlay.h"
#include "launcher/weights/load_weights.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

struct InferArguments {
  ExperimentArguments experiment;
  std::string input, images, output, weights, overlay;
  double overlay_threshold = 0.3;
  bool allow_random_weights = false;
};

/// The data set's categories by index: what results and overlays call them.
struct CategoryTable {
  std::vector<int64_t> ids;
  std::vector<std::string> names;
};

// From the annotations that are inferred on, else those that the experiment names, else numbers.
CategoryTable categories_of(const Experiment& experiment, const fs::path& input) {
  CategoryTable table;
  for (const fs::path& file : {input, fs::path(experiment.data.validation.annotations),
                               fs::path(experiment.data.train.annotations)}) {
    if (file.extension() != ".json" || !fs::is_regular_file(file)) continue;
    auto categories =
        data::read_annotations(file, {.compatible = false, .require_annotations = false})
            .categories;
    std::sort(categories.begin(), categories.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
    for (const auto& category : categories) {
      table.ids.push_back(category.id);
      table.names.push_back(category.name);
    }
    if (static_cast<int64_t>(table.ids.size()) != experiment.data.num_categories)
      throw ConfigError("data.num_categories: expected the " + std::to_string(table.ids.size()) +
                        " categories of " + file.string() + ", got " +
                        std::to_string(experiment.data.num_categories) + ".");
    return table;
  }
  for (int64_t i = 1; i <= experiment.data.num_categories; ++i) {
    table.ids.push_back(i);
    table.names.push_back("category " + std::to_string(i));
  }
  return table;
}

void initialise(VisModel& model, const Experiment& experiment, const InferArguments& arguments) {
  auto report = [](const std::string& file, const LoadReport& loaded) {
    std::cout << "weights: " << file << ": " << loaded.text() << "\n";
  };
  if (!arguments.weights.empty()) {
    // The rules of [weights] are weights.init's: a run that began with another model's weights
    // ends with its own.
    report(arguments.weights, load_weights(model, arguments.weights, WeightsOptions()));
  } else if (experiment.weights.init) {
    report(*experiment.weights.init,
           load_weights(model, *experiment.weights.init, experiment.weights));
  } else if (arguments.allow_random_weights) {
    std::cout << "weights: random\n";
  } else {
    throw ConfigError(
        "infer: expected --weights FILE or weights.init, got neither. --allow-random-weights goes "
        "on "
        "without.");
  }
}

// out: how many frames were written.
int64_t write_overlays(const data::InferenceVideo& video, const std::vector<VideoTrack>& tracks,
                       const CategoryTable& categories, const fs::path& folder, double threshold) {
  fs::create_directories(folder);
  for (int64_t frame = 0; frame < video.length; ++frame) {
    std::vector<visualisation::OverlayInstance> instances;
    for (size_t i = 0; i < tracks.size(); ++i) {
      if (tracks[i].score < threshold || !tracks[i].segmentations[frame]) continue;
      const data::Rle& rle = *tracks[i].segmentations[frame];
      std::vector<uint8_t> bytes = data::to_mask(rle);
      const at::Tensor mask =
          at::from_blob(bytes.data(), {rle.height, rle.width}, at::kByte).to(at::kBool);
      instances.push_back(
          {mask, static_cast<int64_t>(i), categories.names[tracks[i].category], tracks[i].score});
    }
    char name[32];
    std::snprintf(name, sizeof(name), "%05lld.jpg", static_cast<long long>(frame));
    data::write_image(folder / name, visualisation::draw_overlay(video.read(frame), instances));
  }
  return video.length;
}

void run_infer(const InferArguments& arguments) {
  Registry registry(Registry::default_search_paths());
  const Experiment experiment = arguments.experiment.load(registry);
  const CategoryTable categories = categories_of(experiment, arguments.input);
  const auto videos = data::open_videos(arguments.input, arguments.images);
  evaluation::ResultsWriter results(arguments.output);
  const at::Device device = prepare_device(experiment.train);
  at::manual_seed(static_cast<uint64_t>(experiment.train.seed));
  VisModel model(experiment.model, experiment.clip_facts());
  initialise(model, experiment, arguments);
  model.to(device);
  const VideoInference inference(model, experiment, device);
  int64_t tracks_written = 0, overlays = 0;
  std::set<std::string> folders;
  for (const data::InferenceVideo& video : videos) {
    const std::vector<VideoTrack> tracks = inference.run(video);
    for (const VideoTrack& track : tracks)
      results.append({video.id, categories.ids[track.category], track.score, track.segmentations});
    tracks_written += static_cast<int64_t>(tracks.size());
    std::cout << video.name << ": " << video.length << " frames, " << tracks.size() << " tracks"
              << std::endl;
    if (!arguments.overlay.empty()) {
      // Several videos of a set may be windows of one folder and share its name.
      const std::string folder = folders.insert(video.name).second
                                     ? video.name
                                     : video.name + "_" + std::to_string(video.id);
      overlays += write_overlays(video, tracks, categories, fs::path(arguments.overlay) / folder,
                                 arguments.overlay_threshold);
    }
  }
  results.finish();
  std::cout << "results: " << arguments.output << " (" << videos.size() << " videos, "
            << tracks_written << " tracks)\n";
  if (overlays > 0)
    std::cout << "overlays: " << arguments.overlay << " (" << overlays << " frames)\n";
}

}  // namespace

void add_infer(CLI::App& app) {
  auto* command = app.add_subcommand("infer", "Segment and track the objects of videos");
  auto arguments = std::make_shared<InferArguments>();
  arguments->experiment.add_to(*command);
  command
      ->add_option("--input", arguments->input,
                   "Annotation file (YouTube-VIS), folder of frames, or video file")
      ->required();
  command->add_option("--images", arguments->images,
                      "Folder that an annotation file's file names start at");
  command->add_option("--output", arguments->output, "Results (YouTube-VIS JSON)")->required();
  command->add_option("--weights", arguments->weights,
                      "Weights with the model's own names (safetensors); without it weights.init");
  command->add_flag("--allow-random-weights", arguments->allow_random_weights,
                    "Go on without weights");
  command->add_option("--overlay", arguments->overlay,
                      "Folder for frames with masks, class, score and track id");
  command->add_option("--overlay-threshold", arguments->overlay_threshold,
                      "Tracks drawn have at least this score");
  command->footer(
      "Example: tessera infer experiments/vistr_r50.toml --input clip.mp4 --weights "
      "last.safetensors "
      "--output results.json --overlay frames");
  command->callback([arguments] { run_infer(*arguments); });
}

}  // namespace tessera::commands
