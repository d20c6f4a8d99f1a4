#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/error.h"

namespace tessera::pickle::test_support {

/// A file of tests/pickle/fixtures, which make_fixtures.py wrote.
inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(TESSERA_SOURCE_DIR) / "tests/pickle/fixtures" / name;
}

/// All .pth and .pkl fixtures whose names begin with "hostile_", or all others; sorted.
inline std::vector<std::filesystem::path> fixtures(bool hostile) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(fixture(""))) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".safetensors" && name.starts_with("hostile_") == hostile)
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

inline std::string read_bytes(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// The message of the DataError that `call` throws, "" where it throws none.
template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

}  // namespace tessera::pickle::test_support
