#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/data/check.h"

namespace tessera::commands {
namespace {

struct CheckArguments {
  data::CheckOptions options;
  bool json = false;
};

void print(const data::CheckReport& report) {
  for (const std::string& fault : report.faults) std::cout << "fault: " << fault << '\n';
  for (const std::string& warning : report.warnings) std::cout << "warning: " << warning << '\n';
  std::cout << report.videos << " videos, " << report.frames << " frames, " << report.annotations
            << " annotations: " << report.faults.size() << " faults, " << report.warnings.size()
            << " warnings\n";
}

void print_json(const data::CheckReport& report) {
  const nlohmann::ordered_json document = {{"videos", report.videos},
                                           {"frames", report.frames},
                                           {"annotations", report.annotations},
                                           {"faults", report.faults},
                                           {"warnings", report.warnings}};
  // What a broken file says need not be text.
  std::cout << document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void run(const CheckArguments& arguments) {
  const data::CheckReport report = data::check_data_set(arguments.options);
  if (arguments.json) {
    print_json(report);
  } else {
    print(report);
  }
  if (report.faults.empty()) return;
  std::cout.flush();
  throw DataError(arguments.options.annotations.string() + ": expected no fault, got " +
                  std::to_string(report.faults.size()) + ", listed above.");
}

}  // namespace

void add_data_check(CLI::App& data) {
  const auto arguments = std::make_shared<CheckArguments>();
  CLI::App* command = data.add_subcommand("check", "List everything that is wrong with a data set");
  command->add_option("annotations", arguments->options.annotations, "YouTube-VIS annotation file")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--images", arguments->options.images,
                   "Folder that the file names start at; without it no image is looked at")
      ->type_name("DIR");
  command->add_flag("--decode", arguments->options.decode,
                    "Decode every image instead of reading its header (slower)");
  add_image_rules(*command, arguments->options.rules);
  command->add_flag("--json", arguments->json, "Print JSON");
  command->footer(
      "Faults make the exit code 4; warnings do not.\n"
      "Example:\n"
      "  tessera data check mine/annotations.json --images mine/JPEGImages");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera::commands
