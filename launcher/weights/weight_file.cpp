#include "launcher/weights/weight_file.h"

#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>

#include <array>
#include <fstream>
#include <map>

#include "core/error.h"

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
  }
  throw RuntimeError("weights: expected a known type of elements, got another.");
}

/// The state dict to read: the one asked for, or the only one.
std::string choose_table(const pickle::PickledFile& content, const std::string& file,
                         const std::optional<std::string>& key) {
  if (key) return *key;
  if (content.tables().size() == 1) return content.tables().front();
  throw DataError(file + ": expected one table of tensors, or weights.key to name one, got " +
                  std::to_string(content.tables().size()) + ": " + join(content.tables()) + ".");
}

WeightFile read_pickled(const std::filesystem::path& file, const std::optional<std::string>& key) {
  pickle::PickledFile content(file);
  WeightFile result;
  result.format = content.format();
  result.table = choose_table(content, file.string(), key);
  pickle::PickledTable table = content.table(result.table);
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

}  // namespace

bool is_pickled(const std::filesystem::path& file) {
  std::array<char, 16> beginning{};
  std::ifstream stream(file, std::ios::binary);
  stream.read(beginning.data(), beginning.size());
  return pickle::PickledFile::begins_like_one(
      {beginning.data(), static_cast<size_t>(stream.gcount())});
}

WeightFile read_weights(const std::filesystem::path& file, const std::optional<std::string>& key) {
  if (is_pickled(file)) return read_pickled(file, key);
  SafetensorsFile content = read_safetensors(file);
  if (key)
    throw DataError(file.string() + ": expected a pickled file to choose '" + *key +
                    "' from (weights.key), got a safetensors file, which is one table.");
  WeightFile result{"safetensors", "", std::move(content.tensors), {}};
  for (auto& [name, value] : content.metadata) result.others.push_back({name, "metadata " + value});
  return result;
}

}  // namespace tessera
