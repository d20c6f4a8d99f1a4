#include "launcher/weights/weight_file.h"

#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <utility>

#include "core/error.h"
#include "launcher/model/vis_model.h"
#include "launcher/weights/checkpoint_format.h"

namespace tessera {
namespace {

at::ScalarType scalar_type(pickle::ElementType type) {
  switch (type) {
    case pickle::ElementType::kFloat64:
      return at::kDouble;
    case pickle::ElementType::kFloat32:
      return at::kFloat;
    case pickle::ElementType::kFloat16:
      return at::kHalf;
    case pickle::ElementType::kBfloat16:
      return at::kBFloat16;
    case pickle::ElementType::kInt64:
      return at::kLong;
    case pickle::ElementType::kInt32:
      return at::kInt;
    case pickle::ElementType::kInt16:
      return at::kShort;
    case pickle::ElementType::kInt8:
      return at::kChar;
    case pickle::ElementType::kUint8:
      return at::kByte;
    case pickle::ElementType::kBool:
      return at::kBool;
    default:  // a tensor of these is PickledTable::unsupported
      break;
  }
  throw RuntimeError("weights: expected a known type of elements, got another.");
}

/// The state dict to read: the one asked for, or the only one.
std::string choose_table(const pickle::PickledFile& content, const std::string& file,
                         const std::optional<std::string>& key) {
  if (key) return *key;
  if (content.tables().size() == 1) return content.tables().front();
  throw DataError(file +
                  ": expected one table of tensors, or weights.key (--key) to name one, got " +
                  std::to_string(content.tables().size()) + ": " + join(content.tables()) + ".");
}

WeightFile read_pickled(const std::filesystem::path& file, std::optional<std::string> key,
                        KeyUse key_use) {
  pickle::PickledFile content(file);
  WeightFile result;
  result.format = content.format();
  const bool is_one_table = content.tables().size() == 1 && content.tables().front().empty();
  if (is_one_table && key && key_use == KeyUse::kIfTables)
    result.unused_key = *std::exchange(key, std::nullopt);
  result.table = choose_table(content, file.string(), key);
  pickle::PickledTable table = content.table(result.table);
  result.unsupported = std::move(table.unsupported);
  result.others = content.others();
  for (const std::string& other : content.tables())
    if (other != result.table) result.others.push_back({other, "another table of tensors"});
  for (auto& entry : table.others) result.others.push_back(std::move(entry));
  std::map<size_t, at::Tensor> storages;
  for (const pickle::PickledTensor& tensor : table.tensors) {
    at::Tensor& storage = storages[tensor.storage];
    if (!storage.defined()) {
      const pickle::PickledStorage& stored = content.storage(tensor.storage);
      const auto count =
          static_cast<int64_t>(stored.bytes / pickle::element_facts(stored.type).bytes);
      storage = at::empty({count}, at::TensorOptions(scalar_type(stored.type)));
      content.read(tensor.storage, storage.data_ptr());
    }
    result.tensors.emplace_back(
        tensor.name, at::as_strided(storage, tensor.shape, tensor.strides, tensor.offset));
  }
  return result;
}

/// Leaves the model's tensors under their own names, and lists the rest (the optimiser's state).
void keep_model_of_checkpoint(WeightFile& file) {
  file.format = "Tessera checkpoint";
  TensorList model;
  size_t left_out = 0;
  for (auto& [name, tensor] : file.tensors) {
    const bool is_model = name.starts_with(kCheckpointModel) &&
                          !is_training_only(name.substr(kCheckpointModel.size()));
    if (is_model)
      model.emplace_back(name.substr(kCheckpointModel.size()), std::move(tensor));
    else
      ++left_out;
  }
  file.tensors = std::move(model);
  file.others.push_back({"training state", std::to_string(left_out) + " tensors"});
}

}  // namespace

bool is_pickled(const std::filesystem::path& file) {
  std::array<char, 16> beginning{};
  std::ifstream stream(file, std::ios::binary);
  stream.read(beginning.data(), beginning.size());
  return pickle::PickledFile::begins_like_one(
      {beginning.data(), static_cast<size_t>(stream.gcount())});
}

WeightFile read_weights(const std::filesystem::path& file, const std::optional<std::string>& key,
                        KeyUse key_use) {
  if (is_pickled(file)) return read_pickled(file, key, key_use);
  SafetensorsFile content = read_safetensors(file, /*with_unsupported=*/true);
  WeightFile result;
  result.format = "safetensors";
  if (key && key_use == KeyUse::kRequired)
    throw DataError(file.string() + ": expected a pickled file to choose '" + *key +
                    "' from (weights.key), got a safetensors file, which is one table.");
  if (key) result.unused_key = *key;
  for (const auto& [name, kind] : content.unsupported) result.unsupported.push_back({name, kind});
  for (const auto& [name, value] : content.metadata)
    result.others.push_back({name, "metadata " + value});
  result.tensors = std::move(content.tensors);
  result.metadata = std::move(content.metadata);
  const auto format = result.metadata.find("format");
  if (format != result.metadata.end() && format->second == kCheckpointFormat)
    keep_model_of_checkpoint(result);
  return result;
}

TensorMetadata weight_metadata(const std::filesystem::path& file) {
  return is_pickled(file) ? TensorMetadata() : read_safetensors_header(file).metadata;
}

void refuse_unsupported(const std::vector<pickle::OtherEntry>& unsupported,
                        const std::string& file) {
  if (unsupported.empty()) return;
  constexpr size_t kMostNamed = 20;
  std::string text = file + ": expected tensors of floating-point, whole or boolean numbers, got " +
                     std::to_string(unsupported.size()) + " others:";
  for (size_t i = 0; i < std::min(unsupported.size(), kMostNamed); ++i)
    text += "\n    " + unsupported[i].name + ": " + unsupported[i].value;
  if (unsupported.size() > kMostNamed) text += "\n    ...";
  throw DataError(text + "\n  Name those that the model does not need in weights.ignore.");
}

}  // namespace tessera
