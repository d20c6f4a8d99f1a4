#include <charconv>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/data/split.h"

namespace tessera::commands {
namespace {

struct SplitArguments {
  data::SplitDataOptions options;
  std::vector<std::string> parts;
  bool json = false;
};

data::SplitPart parse_part(const std::string& text) {
  const size_t equals = text.find('=');
  data::SplitPart part{text.substr(0, equals), 0};
  const char* const end = text.data() + text.size();
  const char* const first = equals == text.npos ? end : text.data() + equals + 1;
  const auto [stop, error] = std::from_chars(first, end, part.fraction);
  if (error != std::errc() || stop != end)
    throw ConfigError("data split --part: expected NAME=SHARE such as train=0.8, got '" + text +
                      "'.");
  return part;
}

void run(SplitArguments arguments) {
  for (const std::string& text : arguments.parts)
    arguments.options.parts.push_back(parse_part(text));
  const auto summaries = data::split_data_set(arguments.options);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const data::SplitSummary& summary : summaries) {
    list.push_back({{"name", summary.name},
                    {"file", summary.file.string()},
                    {"videos", summary.videos},
                    {"annotations", summary.annotations},
                    {"annotations_of_category", summary.annotations_of}});
    if (!arguments.json)
      std::cout << summary.file.string() << ": " << summary.videos << " videos, "
                << summary.annotations << " annotations\n";
  }
  if (arguments.json) std::cout << list.dump(1) << '\n';
}

}  // namespace

void add_data_split(CLI::App& data) {
  const auto arguments = std::make_shared<SplitArguments>();
  CLI::App* command =
      data.add_subcommand("split", "Split a data set by video, alike in categories, into files");
  command->add_option("annotations", arguments->options.annotations, "YouTube-VIS annotation file")
      ->required()
      ->type_name("FILE");
  command->add_option("--output", arguments->options.output, "Folder to write NAME.json to")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--part", arguments->parts,
                   "Name and share of a part; give two or more. Shares count against their sum")
      ->required()
      ->type_name("NAME=SHARE")
      ->allow_extra_args(false);
  command->add_option("--seed", arguments->options.seed, "Another seed gives another split")
      ->capture_default_str();
  command->add_flag("--overwrite", arguments->options.overwrite, "Replace files that are there");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->footer(
      "Example:\n"
      "  tessera data split mine/annotations.json --output mine --part train=0.8 --part valid=0.2");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera::commands
