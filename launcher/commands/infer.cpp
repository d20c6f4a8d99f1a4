#include <algorithm>
#include <cstdio>
#include <iostream>
#include <numeric>
#include <set>
#include <sstream>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/data/image_io.h"
#include "launcher/distributed/world.h"
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

void initialise(VisModel& model, const Experiment& experiment, const InferArguments& arguments,
                const World& world) {
  std::ostream nowhere(nullptr);
  std::ostream& out = world.is_first() ? std::cout : nowhere;
  auto report = [&out](const std::string& file, const LoadReport& loaded) {
    out << "weights: " << file << ": " << loaded.text() << "\n";
  };
  if (!arguments.weights.empty()) {
    report(arguments.weights,
           load_weights(model, arguments.weights,
                        rules_for_given_file(arguments.weights, experiment.weights)));
  } else if (experiment.weights.init) {
    report(*experiment.weights.init,
           load_weights(model, *experiment.weights.init, experiment.weights));
  } else if (arguments.allow_random_weights) {
    out << "weights: random\n";
  } else {
    throw ConfigError(
        "infer: expected --weights FILE or weights.init, got neither. --allow-random-weights goes "
        "on "
        "without.");
  }
}

void write_overlays(const data::InferenceVideo& video, const std::vector<VideoTrack>& tracks,
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
}

/// A name for the overlays of every video: several videos of a set may be windows of one folder
/// and share its name.
std::vector<std::string> overlay_folders(const std::vector<data::InferenceVideo>& videos) {
  std::set<std::string> taken;
  std::vector<std::string> folders;
  for (const data::InferenceVideo& video : videos)
    folders.push_back(
        taken.insert(video.name).second ? video.name : video.name + "_" + std::to_string(video.id));
  return folders;
}

/// The videos that a process takes, in their order: dealt out from the longest to the shortest, so
/// that all have about as many frames.
std::vector<size_t> own_videos(const std::vector<data::InferenceVideo>& videos,
                               const World& world) {
  std::vector<size_t> order(videos.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return videos[a].length > videos[b].length; });
  std::vector<size_t> own;
  for (size_t i = 0; i < order.size(); ++i)
    if (static_cast<int64_t>(i) % world.size() == world.rank()) own.push_back(order[i]);
  std::sort(own.begin(), own.end());
  return own;
}

/// Tracks of all processes on their way into one file, in the order of the videos.
class Collected {
 public:
  Collected(const World& world, const std::string& file) : world_(world) {
    // Only the first process writes. It tries to at once: a bad path must not show after hours.
    if (world.is_first()) writer_.emplace(file);
  }

  void add(size_t video, const evaluation::ResultTrack& track) {
    ++count_;
    if (world_.size() == 1)
      writer_->append(track);  // a long set need not fit into memory
    else
      lines_ += std::to_string(video) + "\t" + evaluation::result_json(track) + "\n";
  }

  /// out: tracks of all processes, on the first one.
  int64_t finish() {
    if (world_.size() > 1) write_gathered();
    if (writer_) writer_->finish();
    return count_;
  }

 private:
  void write_gathered() {
    std::vector<std::pair<int64_t, std::string>> tracks;
    for (const std::string& part : world_.gather(lines_)) {
      std::istringstream stream(part);
      for (std::string line; std::getline(stream, line);) {
        const size_t tab = line.find('\t');
        tracks.emplace_back(std::stoll(line.substr(0, tab)), line.substr(tab + 1));
      }
    }
    std::stable_sort(tracks.begin(), tracks.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    if (!writer_) return;
    for (const auto& [video, track] : tracks) writer_->append_json(track);
    count_ = static_cast<int64_t>(tracks.size());
  }

  const World& world_;
  std::optional<evaluation::ResultsWriter> writer_;
  std::string lines_;
  int64_t count_ = 0;
};

void run_infer(const InferArguments& arguments, const World& world) {
  Registry registry(Registry::default_search_paths());
  const Experiment experiment = arguments.experiment.load(registry);
  const CategoryTable categories = categories_of(experiment, arguments.input);
  const auto videos = data::open_videos(arguments.input, arguments.images);
  const auto folders = overlay_folders(videos);
  Collected results(world, arguments.output);
  const at::Device device = prepare_device(experiment.train, world);
  at::manual_seed(static_cast<uint64_t>(experiment.train.seed));
  VisModel model(experiment.model, experiment.clip_facts());
  initialise(model, experiment, arguments, world);
  model.to(device);
  const VideoInference inference(model, experiment, device);
  for (const size_t index : own_videos(videos, world)) {
    const data::InferenceVideo& video = videos[index];
    const std::vector<VideoTrack> tracks = inference.run(video);
    for (const VideoTrack& track : tracks)
      results.add(index,
                  {video.id, categories.ids[track.category], track.score, track.segmentations});
    std::cout << video.name << ": " << video.length << " frames, " << tracks.size() << " tracks"
              << std::endl;
    if (!arguments.overlay.empty())
      write_overlays(video, tracks, categories, fs::path(arguments.overlay) / folders[index],
                     arguments.overlay_threshold);
  }
  const int64_t tracks = results.finish();
  if (!world.is_first()) return;
  std::cout << "results: " << arguments.output << " (" << videos.size() << " videos, " << tracks
            << " tracks)\n";
  if (!arguments.overlay.empty()) std::cout << "overlays: " << arguments.overlay << "\n";
}

}  // namespace

void add_infer(CLI::App& app, const World& world) {
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
  command->add_option(
      "--weights", arguments->weights,
      "Weights with the model's own names (safetensors), or an official .pth or .pkl "
      "file by the rules of [weights]; without it weights.init");
  command->add_flag("--allow-random-weights", arguments->allow_random_weights,
                    "Go on without weights");
  command->add_option("--overlay", arguments->overlay,
                      "Folder for frames with masks, class, score and track id");
  command->add_option("--overlay-threshold", arguments->overlay_threshold,
                      "Tracks drawn have at least this score");
  command->footer(
      "Started by mpirun or srun, every process takes a part of the videos.\n"
      "Example: tessera infer experiments/vistr_r50.toml --input clip.mp4 --weights "
      "last.safetensors --output results.json --overlay frames");
  command->callback([arguments, &world] { run_infer(*arguments, world); });
}

}  // namespace tessera::commands
