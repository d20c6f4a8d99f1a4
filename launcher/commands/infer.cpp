#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <set>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/data/image_io.h"
#include "launcher/distributed/world.h"
#include "launcher/event_log.h"
#include "launcher/inference/frames_sweep.h"
#include "launcher/inference/inference_progress.h"
#include "launcher/inference/result_categories.h"
#include "launcher/inference/result_collector.h"
#include "launcher/inference/video_inference.h"
#include "launcher/inference/video_share.h"
#include "launcher/inference/zip_file.h"
#include "launcher/training/device.h"
#include "launcher/visualisation/explain_video.h"
#include "launcher/visualisation/overlay.h"
#include "launcher/weights/atomic_file.h"
#include "launcher/weights/model_weights.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

struct InferArguments {
  ExperimentArguments experiment;
  std::string input, images, output, weights, rules, categories, overlay, explain;
  std::string zip, ground_truth;
  std::vector<std::string> frames_sweep;
  double overlay_threshold = 0.3;
  int64_t explain_tracks = 3, explain_window = 0;
  std::optional<int64_t> explain_layer;
  std::string explain_stage;
  bool allow_random_weights = false, allow_broken_video = false, with_zip = false, json = false,
       quiet = false;
  bool log_json = false;

  /// Where a person reads along: standard output belongs to --json.
  std::ostream& log() const { return quiet ? *nowhere : json ? std::cerr : std::cout; }
  std::ostream& progress() const { return quiet ? *nowhere : std::cerr; }
  std::shared_ptr<std::ostream> nowhere = std::make_shared<std::ostream>(nullptr);
  /// Of the log files: "results.log.jsonl" beside "results.json", "log.jsonl" in a sweep's folder.
  fs::path log_stem() const {
    return frames_sweep.empty() ? fs::path(output).replace_extension(".log")
                                : fs::path(output) / "log";
  }
  std::string zip_file() const {
    return zip.empty() ? fs::path(output).replace_extension(".zip").string() : zip;
  }
};

/// The file that the model's weights are read from, or "" for random ones.
std::string weight_file(const Experiment& experiment, const InferArguments& arguments) {
  if (!arguments.weights.empty()) return arguments.weights;
  if (experiment.weights.init) return *experiment.weights.init;
  if (arguments.allow_random_weights) return "";
  throw ConfigError(
      "infer: expected --weights FILE or weights.init, got neither. --allow-random-weights goes on "
      "without.");
}

void initialise(VisModel& model, const Experiment& experiment, const InferArguments& arguments,
                const std::string& file, const World& world, EventLog& log) {
  std::ostream nowhere(nullptr);
  std::ostream& out = world.is_first() ? arguments.log() : nowhere;
  if (file.empty()) {
    log.tell(out, "weights", "weights: random");
    return;
  }
  const LoadReport report =
      load_finished_weights(model, file, chosen_rules(experiment.weights, arguments.rules),
                            rule_tables_near(arguments.experiment.file));
  log.tell(out, "weights", "weights: " + file + ": " + report.text(), {{"weights", file}});
}

void write_overlays(const data::InferenceVideo& video, const VideoTracks& found,
                    const data::CategoryTable& categories, const fs::path& folder,
                    double threshold) {
  fs::create_directories(folder);
  const auto& tracks = found.tracks();
  for (int64_t frame = 0; frame < video.length; ++frame) {
    std::vector<visualisation::OverlayInstance> instances;
    for (size_t i = 0; i < tracks.size() && frame < found.num_frames(); ++i) {
      if (tracks[i].score < threshold) continue;
      const std::optional<data::Rle> rle = found.mask(tracks[i], frame);
      if (!rle) continue;
      std::vector<uint8_t> bytes = data::to_mask(*rle);
      const at::Tensor mask =
          at::from_blob(bytes.data(), {rle->height, rle->width}, at::kByte).to(at::kBool);
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

/// Everything that inference on a set of videos needs besides the `[inference]` options.
struct Session {
  const InferArguments& arguments;
  const World& world;
  EventLog& log;
  Experiment experiment;
  data::CategoryTable categories;
  std::vector<data::InferenceVideo> videos;
  std::vector<std::string> folders;
  at::Device device;
  VisModel& model;
};

/// Where the masks of one video lie while it is inferred: beside the results, where there is room.
fs::path scratch_folder(const fs::path& results) {
  if (is_written_directly(results)) return fs::temp_directory_path();
  return results.has_parent_path() ? results.parent_path() : fs::path(".");
}

/// Runs the videos that are this process's, all processes' results into `file`.
/// out: tracks of all, on the first process.
int64_t infer_videos(const Session& session, const fs::path& file) {
  const InferArguments& arguments = session.arguments;
  ResultCollector results(session.world, file);
  const VideoInference inference(session.model, session.experiment.video_options(), session.device,
                                 scratch_folder(file));
  inference.check_windows(session.videos);
  const auto own = own_videos(session.videos, session.world.rank(), session.world.size());
  for (size_t i = 0; i < own.size(); ++i) {
    const data::InferenceVideo& video = session.videos[own[i]];
    const FrameCount& limit = session.experiment.inference.frames;
    std::optional<VideoTracks> tracks;
    ExplainedWindow explained{.index = arguments.explain_window,
                              .layer = arguments.explain_layer,
                              .stage = arguments.explain_stage};
    {
      InferenceProgress progress(
          arguments.progress(), isatty(STDERR_FILENO) != 0,
          "video " + std::to_string(i + 1) + "/" + std::to_string(own.size()) + " " + video.name,
          limit.is_all() ? video.length : std::min(limit.frames, video.length), session.log);
      tracks = inference.run(
          video, [&](int64_t frames) { progress.show(frames); },
          arguments.explain.empty() ? nullptr : &explained);
    }
    for (const VideoTracks::Track& track : tracks->tracks())
      results.add(own[i], video.id, *tracks, track, session.categories.ids[track.category]);
    session.log.tell(arguments.log(), "video",
                     video.name + ": " + std::to_string(video.length) + " frames, " +
                         std::to_string(tracks->tracks().size()) + " tracks",
                     {{"video", video.name},
                      {"video_id", video.id},
                      {"frames", video.length},
                      {"tracks", tracks->tracks().size()}});
    if (!arguments.explain.empty())
      visualisation::write_explanation(
          video, *tracks, explained, session.categories.names, arguments.explain_tracks,
          fs::path(arguments.explain) / (session.folders[own[i]] + ".png"));
    if (!arguments.overlay.empty())
      write_overlays(video, *tracks, session.categories,
                     fs::path(arguments.overlay) / session.folders[own[i]],
                     arguments.overlay_threshold);
  }
  return results.finish();
}

/// One result file and score for each number of frames.
void run_sweep(Session& session) {
  const InferArguments& arguments = session.arguments;
  const fs::path truth = arguments.ground_truth.empty() ? arguments.input : arguments.ground_truth;
  const std::vector<FrameCount> counts = parse_frame_counts(arguments.frames_sweep);
  // Read once before hours of inference: a set without annotations must not show after them.
  data::read_annotations(truth, {.compatible = true});
  if (session.world.is_first()) fs::create_directories(arguments.output);
  std::vector<SweepRow> rows;
  for (const FrameCount& count : counts) {
    session.experiment.inference.frames = count;
    const fs::path file = fs::path(arguments.output) / ("frames_" + count.text() + ".json");
    session.log.tell(arguments.log(), "frames",
                     "frames = " + count.text() + ", fill = " + session.experiment.inference.fill,
                     {{"frames", count.text()}, {"fill", session.experiment.inference.fill}});
    infer_videos(session, file);
    if (session.world.is_first()) rows.push_back(score_sweep_row(count, truth, file));
  }
  if (!session.world.is_first()) return;
  if (arguments.json)
    std::cout << sweep_json(rows, session.experiment.inference.fill).dump(1) << '\n';
  else
    std::cout << sweep_table(rows);
}

void check_arguments(const InferArguments& arguments) {
  if (!arguments.frames_sweep.empty()) {
    if (arguments.with_zip || !arguments.overlay.empty() || !arguments.explain.empty())
      throw ConfigError(
          "infer: expected none of --zip, --overlay and --explain beside --frames-sweep, which "
          "makes a result file for each number of frames, got one.");
    return;
  }
  if (arguments.json || !arguments.ground_truth.empty())
    throw ConfigError(
        "infer: expected --json and --ground-truth beside --frames-sweep, got no --frames-sweep. "
        "tessera score scores a result file.");
}

/// Further files are named after the results, which a device or a FIFO leaves no room for.
void expect_room_beside_results(const InferArguments& arguments) {
  const bool names_archive = arguments.with_zip && arguments.zip.empty();
  if (!arguments.frames_sweep.empty() || !(arguments.log_json || names_archive)) return;
  if (!is_written_directly(arguments.output)) return;
  throw ConfigError(std::string("infer: expected a results file in a folder beside ") +
                    (arguments.log_json ? "--log-json" : "--zip without a file name") +
                    ", got the device or FIFO " + arguments.output +
                    ". Give --output another name" +
                    (arguments.log_json ? "." : ", or --zip FILE."));
}

void run_infer(const InferArguments& arguments, const World& world, EventLog& log) {
  world.expect_every_task("infer");
  expect_room_beside_results(arguments);
  if (arguments.log_json)
    log.open(arguments.log_stem(), world, "tessera infer " + arguments.experiment.file,
             {{"experiment", arguments.experiment.file},
              {"input", arguments.input},
              {"output", arguments.output}});
  check_arguments(arguments);
  Registry registry(Registry::default_search_paths());
  const Experiment experiment = arguments.experiment.load(registry);
  const std::string weights = weight_file(experiment, arguments);
  std::vector<std::string> warnings;
  const auto videos = data::open_videos(arguments.input,
                                        {.images = arguments.images,
                                         .rules = experiment.data.image_rules(),
                                         .allow_broken_video = arguments.allow_broken_video},
                                        &warnings);
  for (const std::string& warning : warnings)
    if (world.is_first())
      log.tell(arguments.log(), "input", "warning: " + warning, {{"input", arguments.input}});
  const data::CategoryTable categories = result_categories(
      experiment, {.given = arguments.categories,
                   .input = arguments.input,
                   .metadata = weights.empty() ? TensorMetadata() : weight_metadata(weights),
                   .weights = weights});
  // A bad path must not show after hours; the results' own is tried when the first video begins.
  if (arguments.with_zip && world.is_first()) expect_writable(arguments.zip_file());
  const at::Device device = prepare_device(experiment.train, world);
  at::manual_seed(static_cast<uint64_t>(experiment.train.seed));
  VisModel model(experiment.model, experiment.clip_facts());
  initialise(model, experiment, arguments, weights, world, log);
  model.to(device);
  Session session{arguments, world, log, experiment, categories, videos, overlay_folders(videos),
                  device,    model};
  if (!arguments.frames_sweep.empty()) return run_sweep(session);
  const int64_t tracks = infer_videos(session, arguments.output);
  if (!world.is_first()) return;
  std::ostream& out = arguments.log();
  log.tell(out, "results",
           "results: " + arguments.output + " (" + std::to_string(videos.size()) + " videos, " +
               std::to_string(tracks) + " tracks)",
           {{"results", arguments.output}, {"videos", videos.size()}, {"tracks", tracks}});
  if (arguments.with_zip) {
    // Submission servers look for this name.
    write_zip(arguments.zip_file(), arguments.output, "results.json");
    out << "archive: " << arguments.zip_file() << "\n";
  }
  if (!arguments.overlay.empty()) out << "overlays: " << arguments.overlay << "\n";
  if (!arguments.explain.empty()) out << "explained: " << arguments.explain << "\n";
}

}  // namespace

void add_infer(CLI::App& app, const World& world, EventLog& log) {
  auto* command = app.add_subcommand("infer", "Segment and track the objects of videos");
  auto arguments = std::make_shared<InferArguments>();
  arguments->experiment.add_to(*command);
  command
      ->add_option("--input", arguments->input,
                   "Annotation file (YouTube-VIS), folder of frames, or video file")
      ->required();
  command->add_option("--images", arguments->images,
                      "Folder that an annotation file's file names start at");
  command
      ->add_option("--output", arguments->output,
                   "Results (YouTube-VIS JSON); with --frames-sweep a folder")
      ->required();
  command
      ->add_option("--zip", arguments->zip,
                   "Also pack the results as results.json into a zip, as submission servers take "
                   "them; without FILE beside the results")
      ->type_name("[FILE]")
      ->expected(0, 1);
  command->add_option(
      "--weights", arguments->weights,
      "Weights with the model's own names, or an official file by the rules of [weights] "
      "(safetensors, .pth, .pkl); without it weights.init");
  add_rules_option(*command, arguments->rules);
  command
      ->add_option("--categories", arguments->categories,
                   "Annotation file whose categories give the results their ids and names; without "
                   "it those that the weights were trained on")
      ->type_name("FILE");
  command->add_flag("--allow-random-weights", arguments->allow_random_weights,
                    "Go on without weights");
  command->add_flag("--allow-broken-video", arguments->allow_broken_video,
                    "Go on with the frames that can be decoded of a video file that is cut off or "
                    "damaged");
  command->add_option("--overlay", arguments->overlay,
                      "Folder for frames with masks, class, score and track id");
  command->add_option("--overlay-threshold", arguments->overlay_threshold,
                      "Tracks drawn have at least this score");
  command->add_option("--explain", arguments->explain,
                      "Folder for one picture a video of where and when the queries of its best "
                      "tracks looked: attention maps, or sampling points");
  command->add_option("--explain-tracks", arguments->explain_tracks, "Tracks a picture")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--explain-layer", arguments->explain_layer,
                   "Decoder layer, from 0 (default: the last)")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--explain-stage", arguments->explain_stage,
                      "Stage of the model whose decoder is explained (default: the first, "
                      "segmenter)");
  command
      ->add_option("--explain-window", arguments->explain_window,
                   "Window of the video, from 0; the last where there are fewer")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--frames-sweep", arguments->frames_sweep,
                   "Infer and score with each of these numbers of frames, e.g. 1,2,4,8,16,all: how "
                   "much does AP need more than one frame?")
      ->delimiter(',')
      ->type_name("N,...");
  command->add_option("--ground-truth", arguments->ground_truth,
                      "Annotations that the sweep is scored against; without it --input");
  command->add_flag("--json", arguments->json, "Print the sweep as JSON");
  command->add_flag(
      "--log-json", arguments->log_json,
      "Write what happens, errors included, a JSON object a line, beside the results: "
      "results.log.jsonl for results.json (other ranks: results.log-<rank>.jsonl)");
  command->add_flag("--quiet", arguments->quiet, "Print nothing but errors and what --json prints");
  command->footer(
      "Started by mpirun or srun, every process takes a part of the videos.\n"
      "Example: tessera infer experiments/vistr_r50.toml --input clip.mp4 --weights "
      "last.safetensors --output results.json --overlay frames");
  command->callback([arguments, command, &world, &log] {
    arguments->with_zip = command->count("--zip") > 0;
    run_infer(*arguments, world, log);
  });
}

}  // namespace tessera::commands
