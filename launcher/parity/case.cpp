#include "launcher/parity/case.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "core/error.h"
#include "launcher/weights/safetensors.h"

namespace tessera::parity {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json read_json(const fs::path& file) {
  std::ifstream stream(file);
  if (!stream) throw DataError(file.string() + ": expected a file of a parity case, got none.");
  try {
    return json::parse(stream);
  } catch (const json::exception& error) {
    throw DataError(file.string() + ": expected JSON, got: " + error.what() + ".");
  }
}

std::string toml_text(const json& value) {
  if (value.is_string()) return json(value).dump();
  if (value.is_array()) {
    std::string text;
    for (const auto& item : value) text += (text.empty() ? "" : ", ") + toml_text(item);
    return "[" + text + "]";
  }
  return value.dump();
}

void flatten(const json& object, const std::string& prefix,
             std::vector<std::pair<std::string, std::string>>& out) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object())
      flatten(value, prefix + key + ".", out);
    else
      out.emplace_back(prefix + key, toml_text(value));
  }
}

std::map<std::string, at::Tensor> tensors_of(const fs::path& file) {
  std::map<std::string, at::Tensor> tensors;
  for (auto& [name, tensor] : read_safetensors(file).tensors) tensors.emplace(name, tensor);
  return tensors;
}

/// A file that goes with its object.
struct TemporaryFile {
  fs::path path =
      fs::temp_directory_path() / ("tessera-parity-" + std::to_string(getpid()) + ".safetensors");
  ~TemporaryFile() {
    std::error_code ignored;  // nothing to do about a file that cannot be removed
    fs::remove(path, ignored);
  }
};

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The interpreter that has numpy: TESSERA_PYTHON, the project's environment, or python3.
std::string python() {
  if (const char* chosen = std::getenv("TESSERA_PYTHON")) return chosen;
  const fs::path own = fs::path(TESSERA_SOURCE_DIR) / ".venv/bin/python";
  return fs::exists(own) ? own.string() : "python3";
}

// Beside the case, or in the reference data's folder for cases that are kept elsewhere.
fs::path weights_script(const fs::path& folder) {
  std::vector<fs::path> places = {folder / "../../generate_weights.py"};
  if (const char* shared = std::getenv("TESSERA_SHARED"))
    places.push_back(fs::path(shared) / "parity/generate_weights.py");
  places.push_back(fs::path(TESSERA_SOURCE_DIR) / "../shared/parity/generate_weights.py");
  for (const auto& place : places)
    if (fs::exists(place)) return place;
  throw DataError(folder.string() +
                  ": expected generate_weights.py two folders above the case or under "
                  "TESSERA_SHARED/parity, got none.");
}

}  // namespace

const at::Tensor& Case::input(const std::string& tensor) const {
  const auto it = inputs.find(tensor);
  if (it == inputs.end())
    throw DataError(folder.string() + "/inputs.safetensors: expected the tensor '" + tensor +
                    "', got none.");
  return it->second;
}

std::optional<double> Case::rounding(const std::string& tensor) const {
  constexpr std::string_view kBackbone = "backbone.";  // left out in the tables
  const std::string name = tensor.starts_with(kBackbone) ? tensor.substr(kBackbone.size()) : tensor;
  for (const char* table : {"rounding", "float32_error_vs_float64"})
    if (numerics.contains(table) && numerics[table].is_object() && numerics[table].contains(name))
      return numerics[table][name].get<double>();
  return std::nullopt;
}

std::vector<std::pair<std::string, std::string>> Case::flat_config() const {
  std::vector<std::pair<std::string, std::string>> flat;
  flatten(config, "", flat);
  return flat;
}

Case read_case(const fs::path& folder) {
  const json text = read_json(folder / "case.json");
  Case c;
  c.folder = folder;
  try {
    c.system = text.at("system");
    c.name = text.at("case");
    c.seed = text.at("seed");
    c.kind = text.value("kind", "");
    c.config = text.value("config", json::object());
    c.numerics = text.value("numerics", json::object());
    // The cases of Mask2Former state their rounding beside `numerics`, not in it.
    if (text.contains("float32_error_vs_float64"))
      c.numerics["float32_error_vs_float64"] = text["float32_error_vs_float64"];
    if (text.contains("aliases"))
      for (const auto& [alias, target] : text["aliases"].items()) c.aliases[alias] = target;
  } catch (const json::exception& error) {
    throw DataError((folder / "case.json").string() +
                    ": expected system, case and seed, got: " + error.what() + ".");
  }
  c.inputs = tensors_of(folder / "inputs.safetensors");
  c.outputs = tensors_of(folder / "outputs.safetensors");
  return c;
}

SafetensorsFile generated_weights(const Case& c) {
  const TemporaryFile file;
  const std::string command = quoted(python()) + " " + quoted(weights_script(c.folder).string()) +
                              " " + quoted((c.folder / "keys.json").string()) + " " +
                              std::to_string(c.seed) + " " + quoted(file.path.string()) + " >&2";
  if (std::system(command.c_str()) != 0)
    throw DataError(c.folder.string() + ": expected generated weights, got a failure of: " +
                    command + ". It needs numpy; TESSERA_PYTHON names another interpreter.");
  SafetensorsFile weights = read_safetensors(file.path);
  if (c.config.contains("weight_scale"))
    for (auto& [name, tensor] : weights.tensors)
      if (c.config["weight_scale"].contains(name))
        tensor = tensor * c.config["weight_scale"][name].get<double>();
  // An alias is a second name of a tensor that the toolkit stores once.
  std::erase_if(weights.tensors,
                [&](const auto& entry) { return c.aliases.contains(entry.first); });
  return weights;
}

}  // namespace tessera::parity
