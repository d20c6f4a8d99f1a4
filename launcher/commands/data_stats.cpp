#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "launcher/commands/commands.h"
#include "launcher/data/stats.h"

namespace tessera::commands {
namespace {

using Json = nlohmann::ordered_json;

struct StatsArguments {
  std::string annotations;
  bool json = false;
};

Json to_json(const data::Spread& spread) {
  return {{"smallest", spread.smallest}, {"median", spread.median}, {"largest", spread.largest}};
}

void print_json(const data::DataStats& stats) {
  Json sizes = Json::object();
  for (const auto& [size, videos] : stats.sizes) sizes[size] = videos;
  Json categories = Json::array();
  for (const data::CategoryStats& category : stats.categories)
    categories.push_back({{"id", category.id},
                          {"name", category.name},
                          {"videos", category.videos},
                          {"objects", category.objects},
                          {"masks", category.masks}});
  const Json document = {{"videos", stats.videos},
                         {"frames", stats.frames},
                         {"objects", stats.objects},
                         {"crowds", stats.crowds},
                         {"masks", stats.masks},
                         {"objects_with_gaps", stats.objects_in_gaps},
                         {"frames_of_video", to_json(stats.frames_of_video)},
                         {"objects_of_video", to_json(stats.objects_of_video)},
                         {"objects_of_frame", to_json(stats.objects_of_frame)},
                         {"frames_of_object", to_json(stats.frames_of_object)},
                         {"mask_part_of_frame", to_json(stats.mask_part)},
                         {"sizes", sizes},
                         {"categories", categories}};
  std::cout << document.dump(1) << '\n';
}

void print_spread(const char* what, const data::Spread& spread, double factor = 1) {
  char line[160];
  std::snprintf(line, sizeof(line), "%-34s %8.4g %8.4g %8.4g\n", what, factor * spread.smallest,
                factor * spread.median, factor * spread.largest);
  std::cout << line;
}

void print(const data::DataStats& stats) {
  std::cout << stats.videos << " videos, " << stats.frames << " frames, " << stats.objects
            << " objects (" << stats.objects_in_gaps << " go away and come back), " << stats.masks
            << " masks, " << stats.crowds << " crowds\nsizes:";
  for (const auto& [size, videos] : stats.sizes) std::cout << ' ' << size << " (" << videos << ')';
  std::cout << "\n                                   smallest   median  largest\n";
  print_spread("frames of a video", stats.frames_of_video);
  print_spread("objects of a video", stats.objects_of_video);
  print_spread("objects visible in a frame", stats.objects_of_frame);
  print_spread("frames that an object is visible in", stats.frames_of_object);
  print_spread("mask, percent of the frame", stats.mask_part, 100);
  std::cout << "category                   id   videos  objects    masks\n";
  for (const data::CategoryStats& category : stats.categories) {
    char line[80];
    std::snprintf(line, sizeof(line), " %8lld %8lld %8lld %8lld\n",
                  static_cast<long long>(category.id), static_cast<long long>(category.videos),
                  static_cast<long long>(category.objects), static_cast<long long>(category.masks));
    std::string name = category.name;
    name.resize(std::max<size_t>(name.size(), 20), ' ');
    std::cout << name << line;
  }
}

}  // namespace

void add_data_stats(CLI::App& data) {
  const auto arguments = std::make_shared<StatsArguments>();
  CLI::App* command =
      data.add_subcommand("stats", "Count a data set's videos, objects, sizes and categories");
  command->add_option("annotations", arguments->annotations, "YouTube-VIS annotation file")
      ->required()
      ->type_name("FILE");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->footer("Example:\n  tessera data stats mine/annotations.json");
  command->callback([arguments] {
    const data::DataStats stats =
        data::count_data_set(data::read_annotations(arguments->annotations));
    if (arguments->json) {
      print_json(stats);
    } else {
      print(stats);
    }
  });
}

}  // namespace tessera::commands
