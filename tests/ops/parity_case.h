#pragma once
// Reads one case of shared/parity: <case>/inputs.safetensors and outputs.safetensors.

#include <ATen/ATen.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#ifndef TESSERA_SHARED_DEFAULT
#define TESSERA_SHARED_DEFAULT "../shared"
#endif

namespace tessera::test {

struct ParityCase {
  std::map<std::string, at::Tensor> inputs;   // as stored
  std::map<std::string, at::Tensor> outputs;  // as stored
};

// A safetensors file is a length, a JSON header and the data. The headers of the parity cases are
// flat, so a pattern does instead of a JSON reader.
inline std::map<std::string, at::Tensor> read_safetensors(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) throw std::runtime_error(path.string() + ": too short");
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > bytes.size() - sizeof(length)) throw std::runtime_error(path.string() + ": cut off");
  const std::string header = bytes.substr(sizeof(length), length);
  const char* data = bytes.data() + sizeof(length) + length;
  const size_t data_size = bytes.size() - sizeof(length) - length;
  static const std::regex entry(
      R"re("([^"]+)"\s*:\s*\{\s*"dtype"\s*:\s*"(F32|F64)"\s*,\s*"shape"\s*:\s*\[([^\]]*)\]\s*,)re"
      R"re(\s*"data_offsets"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*\])re");
  std::map<std::string, at::Tensor> tensors;
  for (std::sregex_iterator it(header.begin(), header.end(), entry), end; it != end; ++it) {
    std::vector<int64_t> shape;
    std::istringstream sizes((*it)[3].str());
    for (std::string size; std::getline(sizes, size, ',');) shape.push_back(std::stoll(size));
    const auto type = (*it)[2].str() == "F64" ? at::kDouble : at::kFloat;
    const at::Tensor tensor = at::empty(shape, type);
    const size_t first = std::stoull((*it)[4].str()), last = std::stoull((*it)[5].str());
    if (last > data_size || last - first != tensor.nbytes()) {
      throw std::runtime_error(path.string() + ": wrong data_offsets of " + (*it)[1].str());
    }
    std::memcpy(tensor.data_ptr(), data + first, tensor.nbytes());
    tensors[(*it)[1].str()] = tensor;
  }
  if (tensors.empty()) throw std::runtime_error(path.string() + ": no tensors found");
  return tensors;
}

/// The case `name` of parity/ops under $TESSERA_SHARED, or else under the folder that the build
/// names; nothing where that folder does not exist. Throws std::runtime_error for a broken file.
inline std::optional<ParityCase> read_parity_case(const std::string& name) {
  const char* shared = std::getenv("TESSERA_SHARED");
  const auto folder =
      std::filesystem::path(shared ? shared : TESSERA_SHARED_DEFAULT) / "parity" / "ops" / name;
  if (!std::filesystem::exists(folder)) return std::nullopt;
  return ParityCase{read_safetensors(folder / "inputs.safetensors"),
                    read_safetensors(folder / "outputs.safetensors")};
}

}  // namespace tessera::test
