#include <charconv>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/data/convert/convert.h"
#include "launcher/data/ytvis_writer.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

struct ConvertArguments {
  data::ConvertOptions options;
  std::string from;
  std::string void_label;
  std::string label_numbers;
  fs::path output;
  bool overwrite = false;
  bool json = false;
};

using Converter = std::function<data::AnnotationFile(const data::ConvertOptions&)>;

const std::map<std::string, Converter>& converters() {
  static const std::map<std::string, Converter> known{
      {"coco", data::convert_coco},
      {"davis", data::convert_davis},
      {"labelme", data::convert_labelme},
      {"mots", data::convert_mots},
  };
  return known;
}

std::string names(std::string_view separator) {
  std::vector<std::string> list;
  for (const auto& [name, converter] : converters()) list.push_back(name);
  return join(list, separator);
}

std::optional<int64_t> parse_void(const std::string& text) {
  constexpr int64_t kNoLabel = -1;
  if (text.empty()) return std::nullopt;
  if (text == "none") return kNoLabel;
  int64_t label = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), label);
  if (error != std::errc() || stop != text.data() + text.size() || label < 0)
    throw ConfigError("data convert --void: expected a label such as 255, or none, got '" + text +
                      "'.");
  return label;
}

data::LabelNumbers parse_label_numbers(const std::string& text) {
  if (text.empty()) return data::LabelNumbers::kUnknown;
  if (text == "object") return data::LabelNumbers::kObject;
  if (text == "category") return data::LabelNumbers::kCategory;
  throw ConfigError("data convert --label-numbers: expected object or category, got '" + text +
                    "'.");
}

void run(ConvertArguments arguments) {
  const auto found = converters().find(arguments.from);
  if (found == converters().end())
    throw ConfigError("data convert --from: expected one of " + names(", ") + ", got '" +
                      arguments.from + "'.");
  arguments.options.void_label = parse_void(arguments.void_label);
  arguments.options.label_numbers = parse_label_numbers(arguments.label_numbers);
  data::ConvertCounts counts;
  arguments.options.counts = &counts;
  data::check_may_write(arguments.output, arguments.overwrite, "data convert --output");
  const data::AnnotationFile file = found->second(arguments.options);
  data::write_annotations(arguments.output, file,
                          "Converted from " + arguments.from + " by tessera data convert");
  int64_t frames = 0;
  for (const data::Video& video : file.videos) frames += video.length;
  if (arguments.json) {
    nlohmann::ordered_json categories = nlohmann::ordered_json::array();
    for (const data::Category& category : file.categories)
      categories.push_back({{"id", category.id}, {"name", category.name}});
    std::cout << nlohmann::ordered_json{{"annotations", arguments.output.string()},
                                        {"videos", file.videos.size()},
                                        {"frames", frames},
                                        {"objects", file.annotations.size()},
                                        {"categories", categories},
                                        {"counts", counts}}
                     .dump(1)
              << '\n';
    return;
  }
  std::cout << arguments.output.string() << ": " << file.videos.size() << " videos, " << frames
            << " frames, " << file.annotations.size() << " objects, " << file.categories.size()
            << " categories\n";
  for (const auto& [what, count] : counts) std::cout << "  " << count << " " << what << '\n';
}

}  // namespace

void add_data_convert(CLI::App& data) {
  const auto arguments = std::make_shared<ConvertArguments>();
  data::ConvertOptions& options = arguments->options;
  CLI::App* command =
      data.add_subcommand("convert", "Convert masks of another format to a YouTube-VIS file");
  command
      ->add_option(
          "--from", arguments->from,
          "Format of the masks: davis: folders of index PNGs; coco: JSON of frames with track ids; "
          "labelme: JSON of shapes for each frame; mots: text with an RLE on each line")
      ->required()
      ->type_name(names("|"));
  command->add_option("--input", options.input, "What holds the masks")
      ->required()
      ->type_name("DIR|FILE");
  command->add_option("--images", options.images, "Folder of the frames; file names start at it")
      ->required()
      ->type_name("DIR");
  command->add_option("--output", arguments->output, "Annotation file to write")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--categories", options.categories,
                   "Names in the order of their ids; without it those that occur, alphabetically")
      ->delimiter(',')
      ->type_name("NAME,..");
  command->add_option("--category", options.category, "What objects are where nothing says it")
      ->capture_default_str()
      ->type_name("NAME");
  command
      ->add_option("--labels", options.labels,
                   "davis: categories of the objects, a meta.json as YouTube-VOS has it")
      ->type_name("FILE");
  command
      ->add_option("--void", arguments->void_label,
                   "davis: label that is nothing (the unlabelled border, often 255), or none")
      ->type_name("LABEL|none");
  command->add_flag("--annotated-only", options.annotated_only,
                    "Leave out frames without masks instead of refusing them");
  command->add_flag("--skip-unusable", options.skip_unusable,
                    "coco, labelme: leave out and count annotations without a mask (boxes) and "
                    "shapes without an inside (points, lines) instead of refusing them");
  command
      ->add_option("--label-numbers", arguments->label_numbers,
                   "labelme: what the number at the end of labels such as person-1 belongs to")
      ->type_name("object|category");
  command->add_flag("--allow-thin-labels", options.allow_thin_labels,
                    "davis: take labels for objects that look like the smooth edges of others");
  add_image_rules(*command, options.rules);
  command->add_flag("--overwrite", arguments->overwrite, "Replace a file that is there");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->footer(
      "The frames stay where they are.\n"
      "Example:\n"
      "  tessera data convert --from davis --input DAVIS/Annotations/480p \\\n"
      "    --images DAVIS/JPEGImages/480p --output DAVIS/annotations.json");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera::commands
