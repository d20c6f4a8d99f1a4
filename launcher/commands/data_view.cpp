#include <algorithm>
#include <iostream>
#include <memory>
#include <numeric>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_io.h"
#include "launcher/visualisation/contact_sheet.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

struct ViewArguments {
  fs::path annotations;
  fs::path images;
  data::ImageRules rules;
  fs::path output;
  std::vector<int64_t> videos;
  int64_t max_videos = 12;
  double frames_per_second = 6;
  visualisation::SheetOptions sheet;
};

std::vector<size_t> choose(const data::AnnotationFile& file, const ViewArguments& arguments) {
  std::vector<size_t> chosen;
  for (const int64_t id : arguments.videos) {
    const auto found = std::find_if(file.videos.begin(), file.videos.end(),
                                    [&](const data::Video& video) { return video.id == id; });
    if (found == file.videos.end())
      throw ConfigError("data view --video: expected an id of a video in " + file.file.string() +
                        ", got " + std::to_string(id) + ".");
    chosen.push_back(static_cast<size_t>(found - file.videos.begin()));
  }
  if (!chosen.empty()) return chosen;
  chosen.resize(std::min(file.videos.size(), static_cast<size_t>(arguments.max_videos)));
  std::iota(chosen.begin(), chosen.end(), size_t{0});
  return chosen;
}

void run(const ViewArguments& arguments) {
  const std::string ending = data::lower_ending(arguments.output);
  const bool is_video = ending == ".avi" || ending == ".mp4";
  if (!is_video && ending != ".png" && ending != ".jpg" && ending != ".jpeg")
    throw ConfigError(
        "data view --output: expected a name that ends in .png, .jpg, .avi or .mp4, "
        "got " +
        arguments.output.string() + ".");
  const data::AnnotationFile file = data::read_annotations(arguments.annotations);
  const std::vector<size_t> videos = choose(file, arguments);
  if (is_video) {
    visualisation::write_annotated_video(file, videos, {arguments.images, arguments.rules},
                                         arguments.output, arguments.frames_per_second);
  } else {
    data::write_image(arguments.output,
                      visualisation::draw_contact_sheet(
                          file, videos, {arguments.images, arguments.rules}, arguments.sheet));
  }
  std::cout << arguments.output.string() << ": " << videos.size() << " of " << file.videos.size()
            << " videos\n";
}

}  // namespace

void add_data_view(CLI::App& data) {
  const auto arguments = std::make_shared<ViewArguments>();
  CLI::App* command =
      data.add_subcommand("view", "Draw annotations on frames: a contact sheet or a video");
  command->add_option("annotations", arguments->annotations, "YouTube-VIS annotation file")
      ->required()
      ->type_name("FILE");
  command->add_option("--images", arguments->images, "Folder that the file names start at")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--output", arguments->output,
                   "A sheet (.png, .jpg) with a row for each video, or a video (.avi, .mp4)")
      ->required()
      ->type_name("FILE");
  command->add_option("--video", arguments->videos, "Id of a video to show; may be given again")
      ->type_name("ID")
      ->allow_extra_args(false);
  command
      ->add_option("--max-videos", arguments->max_videos,
                   "Without --video: how many of the first ones to show")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command
      ->add_option("--columns", arguments->sheet.columns, "Frames of a video on a sheet, at most")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--cell-width", arguments->sheet.cell_width, "Pixels of a frame on a sheet")
      ->check(CLI::Range(8, 8192))
      ->capture_default_str();
  command->add_option("--fps", arguments->frames_per_second, "Frames a second of a video")
      ->check(CLI::Range(0.1, 240.0))
      ->capture_default_str();
  add_image_rules(*command, arguments->rules);
  command->footer(
      "Example:\n"
      "  tessera data view mine/annotations.json --images mine/JPEGImages --output sheet.png");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera::commands
