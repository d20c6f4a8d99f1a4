#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/data/synth.h"

namespace tessera::commands {
namespace {

void add_synth(CLI::App& app) {
  const auto options = std::make_shared<data::SynthOptions>();
  CLI::App* command = app.add_subcommand(
      "synth", "Write a generated data set of moving shapes in YouTube-VIS layout");
  command->add_option("--output", options->output, "Folder to write to")
      ->required()
      ->type_name("DIR");
  command->add_option("--videos", options->videos, "Number of videos")->capture_default_str();
  command->add_option("--frames", options->frames, "Frames of each video")->capture_default_str();
  command->add_option("--height", options->height, "Pixels")->capture_default_str();
  command->add_option("--width", options->width, "Pixels")->capture_default_str();
  command->add_option("--seed", options->seed, "Another seed gives another set")
      ->capture_default_str();
  command->add_option("--max-instances", options->max_instances, "Objects of a video at most")
      ->capture_default_str();
  command->add_option("--format", options->format, "Format of the frames; png is exact")
      ->capture_default_str()
      ->type_name("jpg|png");
  command
      ->add_option("--layout", options->layout,
                   "ytvis: one annotation file; davis: folders of index PNGs, for 'data convert'")
      ->capture_default_str()
      ->type_name("ytvis|davis");
  command->add_flag("--overwrite", options->overwrite, "Replace a set that is there");
  command->footer(
      "Example (a training and a validation set):\n"
      "  tessera data synth --output shapes/train --videos 40 --seed 1\n"
      "  tessera data synth --output shapes/valid --videos 10 --seed 2");
  command->callback([options] {
    const data::SynthSummary summary = data::write_synth(*options);
    std::cout << options->output.string() << ": " << summary.videos << " videos, " << summary.frames
              << " frames, " << summary.instances << " instances\n";
  });
}

}  // namespace

void add_data(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("data", "Make, convert, check, split and look at data sets");
  command->require_subcommand(1);
  command->footer("Example: tessera data check annotations.json");
  add_synth(*command);
  add_data_convert(*command);
  add_data_check(*command);
  add_data_split(*command);
  add_data_view(*command);
  add_data_stats(*command);
}

}  // namespace tessera::commands
