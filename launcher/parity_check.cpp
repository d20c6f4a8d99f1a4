#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>

#include "core/error.h"
#include "launcher/load_cuda.h"
#include "launcher/parity/model_case.h"
#include "launcher/run_main.h"

namespace {

using namespace tessera;

nlohmann::json to_json(const parity::Case& c, const std::vector<parity::Comparison>& comparisons,
                       bool passed) {
  nlohmann::json out{
      {"case", c.system + "/" + c.name}, {"passed", passed}, {"tensors", nlohmann::json::array()}};
  for (const auto& comparison : comparisons)
    out["tensors"].push_back({{"name", comparison.name},
                              {"difference", comparison.difference},
                              {"tolerance", comparison.tolerance},
                              {"passed", comparison.passed},
                              {"in_double", comparison.in_double},
                              {"problem", comparison.problem}});
  return out;
}

void print(const parity::Case& c, const std::vector<parity::Comparison>& comparisons, bool passed,
           bool verbose) {
  std::printf("%s %s/%s: %zu tensors\n", passed ? "PASS" : "FAIL", c.system.c_str(), c.name.c_str(),
              comparisons.size());
  for (const auto& comparison : comparisons) {
    if (comparison.passed && !comparison.in_double && !verbose) continue;
    std::printf("  %-6s %-70s difference %.3g, tolerance %.3g %s%s\n",
                comparison.passed ? "ok" : "wrong", comparison.name.c_str(), comparison.difference,
                comparison.tolerance, comparison.in_double ? "in float64" : "",
                comparison.problem.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_main([&]() -> int {
    load_cuda_if_present();
    CLI::App app("Compares every stored tensor of reference cases with ours.", "parity_check");
    std::vector<std::string> folders;
    std::string tables = TESSERA_PARITY_TABLES;
    int threads = 1;
    bool json = false, verbose = false, show_toml = false, in_double = false;
    app.add_option("case", folders, "Folders with case.json")->required();
    app.add_option("--tables", tables, "Folder with one <system>.toml for each system");
    app.add_flag("--json", json, "Print tensor, largest difference and tolerance as JSON");
    app.add_flag("--verbose", verbose, "Print the tensors that pass, too");
    app.add_flag("--show-toml", show_toml, "Print the case's experiment instead of running it");
    app.add_flag("--double", in_double,
                 "Run models in double: shows the stored tensors' own rounding");
    app.add_option("--threads", threads,
                   "Threads of a CPU. Libraries sum in another order for another number of them, "
                   "and some random models magnify that beyond the tolerance, the reference's too")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    app.footer("Example: parity_check ../shared/parity/vistr/r50_small");
    CLI11_PARSE(app, argc, argv);

    at::set_num_threads(threads);
    Registry registry(Registry::default_search_paths());
    bool all_passed = true;
    nlohmann::json report = nlohmann::json::array();
    for (const auto& folder : folders) {
      const parity::Case c = parity::read_case(folder);
      if ((parity::is_tracking_case(c) || parity::is_layer_case(c)) && show_toml)
        throw ConfigError(
            folder +
            ": expected a case of a model for --show-toml, got one of linking or of a "
            "single network.");
      std::vector<parity::Comparison> comparisons;
      if (parity::is_tracking_case(c)) {
        comparisons = parity::check_tracking_case(c, registry);
      } else if (parity::is_layer_case(c)) {
        comparisons = parity::check_layer_case(c);
      } else {
        const parity::Table table =
            parity::read_table(std::filesystem::path(tables) / (parity::table_name(c) + ".toml"));
        if (show_toml) {
          if (table.kind == "learning_rates")
            throw ConfigError(folder +
                              ": expected a case of a model for --show-toml, got one of "
                              "learning rates.");
          std::cout << parity::case_toml(c, table, registry);
          continue;
        }
        const at::ScalarType type = in_double ? at::kDouble : at::kFloat;
        comparisons = table.kind == "model" ? parity::check_model_case(c, table, registry, type)
                      : table.kind == "backbone"
                          ? parity::check_backbone_case(c, table, registry, type)
                      : table.kind == "learning_rates" ? parity::check_learning_rate_case(c, table)
                                                       : parity::check_operator_case(c);
      }
      bool passed = !comparisons.empty();
      for (const auto& comparison : comparisons) passed = passed && comparison.passed;
      all_passed = all_passed && passed;
      if (json)
        report.push_back(to_json(c, comparisons, passed));
      else
        print(c, comparisons, passed, verbose);
    }
    if (json && !show_toml) std::cout << report.dump(2) << "\n";
    return all_passed ? kOk : kFailed;
  });
}
