#include <cinttypes>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/commands/commands.h"
#include "launcher/weights/weight_file.h"
#include "launcher/weights/weight_rules.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

/// One tensor as inspect lists it; no data are read for that.
struct Line {
  std::string name, type;
  std::vector<int64_t> shape;
  std::string shares;  // the first tensor that lies in the same storage, or ""
};

struct Table {
  std::string key;
  std::vector<Line> lines;
  std::vector<pickle::OtherEntry> unsupported;  // tensors that no model can take
  std::vector<pickle::OtherEntry> others;
};

struct Content {
  std::string format;
  std::vector<Table> tables;
  std::vector<pickle::OtherEntry> others;
};

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Content inspect_safetensors(const fs::path& file) {
  const SafetensorsHeader header = read_safetensors_header(file);
  Content content{"safetensors", {Table()}, {}};
  for (const TensorEntry& entry : header.entries) {
    if (!entry.unsupported.empty()) {
      content.tables[0].unsupported.push_back({entry.name, "a tensor of " + entry.unsupported});
      continue;
    }
    // PyTorch's names, as those of pickled files.
    const std::string type = lower_case(c10::toString(entry.type));
    static const std::map<std::string, std::string> kNames{
        {"double", "float64"}, {"float", "float32"}, {"half", "float16"}, {"long", "int64"},
        {"int", "int32"},      {"short", "int16"},   {"char", "int8"},    {"byte", "uint8"}};
    const auto known = kNames.find(type);
    content.tables[0].lines.push_back(
        {entry.name, known == kNames.end() ? type : known->second, entry.shape, ""});
  }
  for (const auto& [name, value] : header.metadata)
    content.others.push_back({name, "metadata of " + std::to_string(value.size()) + " bytes"});
  return content;
}

Content inspect_pickled(const fs::path& file, const std::optional<std::string>& key) {
  pickle::PickledFile pickled(file);
  Content content{pickled.format(), {}, pickled.others()};
  const std::vector<std::string> keys = key ? std::vector{*key} : pickled.tables();
  for (const std::string& each : keys) {
    const pickle::PickledTable table = pickled.table(each);
    Table shown{each, {}, table.unsupported, table.others};
    std::map<size_t, std::string> first;
    for (const auto& tensor : table.tensors) {
      const auto [found, is_first] = first.emplace(tensor.storage, tensor.name);
      shown.lines.push_back({tensor.name, std::string(pickle::element_facts(tensor.type).name),
                             tensor.shape, is_first ? "" : found->second});
    }
    content.tables.push_back(std::move(shown));
  }
  return content;
}

nlohmann::ordered_json to_json(const std::vector<pickle::OtherEntry>& others) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& entry : others) json.push_back({{"name", entry.name}, {"value", entry.value}});
  return json;
}

void print_json(const fs::path& file, const Content& content) {
  nlohmann::ordered_json json{
      {"file", file.string()}, {"format", content.format}, {"tables", nlohmann::json::array()}};
  for (const Table& table : content.tables) {
    auto tensors = nlohmann::ordered_json::array();
    for (const Line& line : table.lines) {
      tensors.push_back({{"name", line.name}, {"dtype", line.type}, {"shape", line.shape}});
      if (!line.shares.empty()) tensors.back()["shares"] = line.shares;
    }
    json["tables"].push_back({{"key", table.key},
                              {"tensors", std::move(tensors)},
                              {"unsupported", to_json(table.unsupported)},
                              {"others", to_json(table.others)}});
  }
  json["others"] = to_json(content.others);
  // Names are whatever the file has.
  std::cout << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

/// Names come from the file: what a terminal would obey is shown as '?'.
std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  return text;
}

void print_others(const std::vector<pickle::OtherEntry>& others, const std::string& indent) {
  for (const auto& entry : others)
    std::cout << indent << printable(entry.name) << ": " << printable(entry.value) << "\n";
}

void print_text(const fs::path& file, const Content& content) {
  std::cout << file.string() << ": " << content.format << "\n";
  for (const Table& table : content.tables) {
    int64_t elements = 0;
    size_t longest = 0;
    for (const Line& line : table.lines) {
      int64_t count = 1;
      for (const int64_t size : line.shape) count *= size;
      elements += count;
      longest = std::max(longest, line.name.size());
    }
    if (!table.key.empty()) std::cout << printable(table.key) << ": ";
    std::cout << table.lines.size() << " tensors, " << elements << " elements\n";
    for (const Line& line : table.lines) {
      std::string name = printable(line.name);
      name.resize(std::max(longest, name.size()), ' ');
      std::cout << "  " << name << "  " << line.type << " " << shape_text(line.shape)
                << (line.shares.empty() ? "" : "  in the storage of " + printable(line.shares))
                << "\n";
    }
    if (!table.unsupported.empty()) std::cout << "  of types that no model takes:\n";
    print_others(table.unsupported, "    ");
    if (!table.others.empty()) std::cout << "  no tensors:\n";
    print_others(table.others, "    ");
  }
  if (!content.others.empty()) std::cout << "beside the tensors:\n";
  print_others(content.others, "  ");
  std::cout << std::flush;
}

struct InspectArguments {
  std::string file;
  std::optional<std::string> key;
  bool json = false;
};

void inspect(const InspectArguments& arguments) {
  const bool pickled = is_pickled(arguments.file);
  if (!pickled && arguments.key)
    throw ConfigError("weights inspect: --key: expected a .pth or .pkl file, got " +
                      arguments.file + ", which has one table.");
  const Content content = pickled ? inspect_pickled(arguments.file, arguments.key)
                                  : inspect_safetensors(arguments.file);
  if (arguments.json)
    print_json(arguments.file, content);
  else
    print_text(arguments.file, content);
}

struct ConvertArguments {
  std::string input, output, rules;
  std::optional<std::string> key;
};

void convert(const ConvertArguments& arguments) {
  const fs::path output = arguments.output;
  if (output.extension() != ".safetensors")
    throw ConfigError("weights convert: expected an output named *.safetensors, got '" +
                      arguments.output + "'.");
  WeightsOptions rules;
  if (!arguments.rules.empty()) rules = read_weights_options(arguments.rules);
  if (arguments.key) rules.key = arguments.key;
  const WeightFile content = read_weights(arguments.input, rules.key,
                                          arguments.key ? KeyUse::kRequired : KeyUse::kIfTables);
  refuse_unsupported(needed(content.unsupported, rules), arguments.input);
  const RenamedTensors renamed = apply_rules(content.tensors, rules);
  if (!renamed.clashing.empty())
    throw DataError(arguments.input + ": expected a name of its own for every tensor, got twice: " +
                    join(renamed.clashing) + ". Mend weights.rename in " + arguments.rules + ".");
  if (renamed.tensors.empty())
    throw DataError(arguments.input + ": expected tensors that the rules keep, got none of " +
                    std::to_string(content.tensors.size()) + ".");
  // Categories and the rest of what another safetensors file states stays with the tensors.
  TensorMetadata metadata = content.metadata;
  metadata["format"] = "pt";
  metadata["converted_from"] = fs::path(arguments.input).filename().string();
  if (!content.table.empty()) metadata["table"] = content.table;
  write_safetensors(output, renamed.tensors, metadata);

  std::cout << arguments.output << ": " << renamed.tensors.size() << " of "
            << content.tensors.size() << " tensors\n";
  auto section = [](const std::string& title, const std::vector<std::string>& names) {
    if (names.empty()) return;
    std::cout << title << ":\n";
    for (const auto& name : names) std::cout << "  " << printable(name) << "\n";
  };
  section("dropped by weights.ignore", renamed.ignored);
  section("dropped by weights.reset", renamed.reset);
  section("outside of weights.prefix", renamed.outside_prefix);
  section("rules that matched nothing", renamed.unused_patterns);
  std::vector<pickle::OtherEntry> left_out;
  for (const auto& entry : content.others)
    if (!content.metadata.contains(entry.name)) left_out.push_back(entry);
  if (!left_out.empty()) std::cout << "left out, being no tensors:\n";
  print_others(left_out, "  ");
  std::cout << std::flush;
}

}  // namespace

void add_weights(CLI::App& app) {
  auto* weights = app.add_subcommand(
      "weights", "Look into weight files, or convert them to safetensors; nothing is executed");
  weights->require_subcommand(1);
  weights->footer("Example: tessera weights inspect model_final.pkl");

  auto* inspect_command = weights->add_subcommand(
      "inspect", "List names, types and shapes, and what stands beside the tensors");
  auto inspected = std::make_shared<InspectArguments>();
  inspect_command->add_option("file", inspected->file, "safetensors, .pth or .pkl")->required();
  inspect_command->add_option("--key", inspected->key,
                              "Only this table (\"model\", \"model_ema\", \"state.model\")");
  inspect_command->add_flag("--json", inspected->json, "Print as JSON");
  inspect_command->footer("Example: tessera weights inspect detr-r50.pth --json");
  inspect_command->callback([inspected] { inspect(*inspected); });

  auto* convert_command =
      weights->add_subcommand("convert", "Write a file's tensors as safetensors, under new names");
  auto converted = std::make_shared<ConvertArguments>();
  convert_command->add_option("input", converted->input, "safetensors, .pth or .pkl")->required();
  convert_command->add_option("output", converted->output, "A new .safetensors file")->required();
  convert_command->add_option("--rename", converted->rules,
                              "TOML file whose [weights] has key, prefix, rename and ignore");
  convert_command->add_option("--key", converted->key,
                              "The table to take if the file has several, by its path "
                              "(\"model\", \"state.model\")");
  convert_command->footer(
      "Example: tessera weights convert resnet50.pth resnet50.safetensors --rename "
      "experiments/base/weights/torchvision_resnet.toml");
  convert_command->callback([converted] { convert(*converted); });
}

}  // namespace tessera::commands
