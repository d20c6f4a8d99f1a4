#include <array>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/plugin/loader.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/contract/contract_checks.h"
#include "launcher/plugin_project/plugin_project.h"
#include "launcher/reference/reference.h"
#include "launcher/run_main.h"

namespace tessera::commands {
namespace {

nlohmann::json schema_json(const SchemaBase& schema, const ConfigNode& defaults) {
  nlohmann::json fields = nlohmann::json::array();
  for (const Field& field : schema.fields()) {
    const ConfigNode* value = defaults.find(field.name);
    nlohmann::json entry{{"name", field.name},
                         {"type", field.type},
                         {"doc", field.doc},
                         {"required", field.required}};
    if (!field.range.empty()) entry["range"] = field.range;
    if (value && !field.required) entry["default"] = to_toml_value(*value);
    if (field.nested) entry["fields"] = schema_json(*field.nested(), value ? *value : ConfigNode());
    fields.push_back(std::move(entry));
  }
  if (const KindField* choice = schema.kind_field()) {
    nlohmann::json entry{{"name", choice->key},
                         {"type", "string"},
                         {"doc", choice->doc},
                         {"required", false},
                         {"default", choice->kinds.at(0).name},
                         {"kinds", nlohmann::json::array()}};
    for (const KindSchema& kind : choice->kinds)
      entry["kinds"].push_back(
          {{"name", kind.name},
           {"doc", kind.doc},
           {"fields", schema_json(*kind.schema, kind.schema->write(kind.make(nullptr).get()))}});
    fields.push_back(std::move(entry));
  }
  return fields;
}

nlohmann::json describe(const PluginDescriptor& plugin) {
  const auto options = plugin.make_options();
  return {{"kind", plugin.kind},
          {"name", plugin.name},
          {"summary", plugin.summary},
          {"fields", schema_json(plugin.schema(), plugin.schema().write(options.get()))}};
}

void print_fields(const nlohmann::json& fields, const std::string& indent) {
  for (const auto& field : fields) {
    std::string line =
        indent + field["name"].get<std::string>() + "  (" + field["type"].get<std::string>();
    if (field.contains("range")) line += ", " + field["range"].get<std::string>();
    if (field["required"].get<bool>()) line += ", required";
    if (field.contains("default") && !field.contains("fields"))
      line += ", default " + field["default"].get<std::string>();
    std::cout << line << ")\n" << indent << "    " << field["doc"].get<std::string>() << "\n";
    if (field.contains("fields")) print_fields(field["fields"], indent + "    ");
  }
}

void list(bool json) {
  Registry registry(Registry::default_search_paths());
  std::vector<BrokenPlugin> broken;
  const auto plugins = registry.scan(broken);
  if (json) {
    nlohmann::json out{{"plugins", nlohmann::json::array()}, {"broken", nlohmann::json::array()}};
    for (const auto& plugin : plugins)
      out["plugins"].push_back({{"kind", plugin.descriptor->kind},
                                {"name", plugin.descriptor->name},
                                {"summary", plugin.descriptor->summary},
                                {"origin", plugin.origin}});
    for (const auto& plugin : broken)
      out["broken"].push_back({{"file", plugin.file.string()}, {"reason", plugin.reason}});
    std::cout << out.dump(2) << "\n";
  } else {
    for (const auto& plugin : plugins)
      std::printf("%-14s %-20s %s\n", plugin.descriptor->kind, plugin.descriptor->name,
                  plugin.descriptor->summary);
    std::fflush(stdout);
  }
  // What cannot be loaded is reported, and the command says so with its exit code.
  std::string reasons;
  for (const auto& plugin : broken) reasons += (reasons.empty() ? "" : "\n") + plugin.reason;
  if (!broken.empty()) throw PluginError(reasons);
}

int check(const std::vector<std::string>& files) {
  bool all_passed = true;
  for (const auto& file : files) {
    Registry registry(Registry::default_search_paths());
    const PluginDescriptor& plugin = load_plugin_library(file);
    const auto results = contract::check_plugin(plugin, registry);
    std::printf("%s/%s\n", plugin.kind, plugin.name);
    for (const auto& result : results) {
      all_passed = all_passed && result.passed;
      std::printf("  %-5s %s%s%s\n", result.passed ? "ok" : "FAIL", result.name.c_str(),
                  result.problem.empty() ? "" : ": ", result.problem.c_str());
    }
  }
  std::fflush(stdout);
  return all_passed ? kOk : kFailed;
}

}  // namespace

void add_plugins(CLI::App& app) {
  auto* plugins = app.add_subcommand("plugins", "List, describe, check or begin plugins");
  plugins->require_subcommand(1);
  plugins->footer("Example: tessera plugins describe attention st_deformable");

  auto* list_command = plugins->add_subcommand("list", "All plugins in the search path");
  auto json = std::make_shared<bool>(false);
  list_command->add_flag("--json", *json, "Print as JSON");
  list_command->footer("Example: TESSERA_PLUGIN_PATH=~/my_plugins tessera plugins list");
  list_command->callback([json] { list(*json); });

  auto* describe_command =
      plugins->add_subcommand("describe", "A plugin's options: type, range, default, meaning");
  auto which = std::make_shared<std::pair<std::string, std::string>>();
  auto describe_json = std::make_shared<bool>(false);
  auto markdown = std::make_shared<bool>(false);
  describe_command->add_option("kind", which->first, "Kind, e.g. attention");
  describe_command->add_option("name", which->second, "Name, e.g. dense");
  describe_command->add_flag("--json", *describe_json, "Print as JSON");
  describe_command
      ->add_flag("--markdown", *markdown,
                 "Print as Markdown; without kind and name the reference of all plugins")
      ->excludes("--json");
  describe_command->footer("Example: tessera plugins describe backbone resnet");
  describe_command->callback([which, describe_json, markdown] {
    Registry registry(Registry::default_search_paths());
    if (*markdown && which->first.empty()) {
      std::vector<BrokenPlugin> broken;
      const auto all = registry.scan(broken);
      for (const BrokenPlugin& plugin : broken) throw PluginError(plugin.reason);
      std::cout << plugins_reference(all);
      return;
    }
    if (which->first.empty() || which->second.empty())
      throw ConfigError(
          "plugins describe: expected a kind and a name, or --markdown for all plugins, got "
          "neither. tessera plugins list names them.");
    if (*markdown) {
      std::cout << plugin_markdown(registry.find(which->first, which->second));
      return;
    }
    const nlohmann::json text = describe(registry.find(which->first, which->second));
    if (*describe_json) {
      std::cout << text.dump(2) << "\n";
      return;
    }
    std::cout << which->first << " / " << which->second << ": "
              << text["summary"].get<std::string>() << "\n";
    print_fields(text["fields"], "  ");
  });

  auto* new_command = plugins->add_subcommand(
      "new", "Write a project for a plugin of your own, outside Tessera's tree");
  auto project = std::make_shared<std::array<std::string, 3>>();  // kind, name, folder
  new_command->add_option("kind", (*project)[0], "Kind: " + join(plugin_project_kinds()))
      ->required();
  new_command->add_option("name", (*project)[1], "Name in TOML, e.g. my_attention")->required();
  new_command->add_option("--output", (*project)[2], "Folder of the project (default: ./NAME)");
  new_command->footer("Example: tessera plugins new attention my_attention");
  new_command->callback([project] {
    const auto& [kind, name, folder] = *project;
    for (const auto& file : write_plugin_project(kind, name, folder.empty() ? name : folder))
      std::cout << file.string() << "\n";
    std::cout << "README.md says how to build, check and use it.\n";
  });

  auto* check_command =
      plugins->add_subcommand("check", "Run the contract suite on plugin libraries");
  auto files = std::make_shared<std::vector<std::string>>();
  check_command->add_option("library", *files, "Plugin libraries (.so)")->required();
  check_command->footer("Example: tessera plugins check build/libtessera_attention_mine.so");
  check_command->callback([files] {
    if (const int code = check(*files); code != kOk) throw CLI::RuntimeError(code);
  });
}

}  // namespace tessera::commands
