#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "core/error.h"
#include "launcher/data/data_options.h"
#include "launcher/data/image_io.h"

namespace tessera::test_support {

using Json = nlohmann::ordered_json;

/// A folder of its own for each test, gone afterwards.
class DataTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("tessera_data_" + std::to_string(std::random_device{}()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  std::string read(const std::filesystem::path& file) const {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  /// An image of one colour that encodes `value` in red.
  void write_frame(const std::string& name, int64_t height, int64_t width, int value) const {
    at::Tensor image = at::zeros({height, width, 3}, at::kByte);
    image.select(2, 0).fill_(value);
    std::filesystem::create_directories((folder_ / name).parent_path());
    data::write_image(folder_ / name, image);
  }

  std::filesystem::path folder_;
};

/// What `action` throws as an Error of that type, or "" with a failed test.
template <class ErrorType>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ErrorType& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception: " << error.what();
    return "";
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// Expects that the message has every part.
inline void expect_parts(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << "no '" << part << "' in: " << message;
}

/// out: [1,T] bool, as ClipTargets::valid of one instance.
inline at::Tensor valid_row(std::initializer_list<bool> values) {
  at::Tensor row = at::zeros({1, static_cast<int64_t>(values.size())}, at::kBool);
  std::copy(values.begin(), values.end(), row.data_ptr<bool>());
  return row;
}

inline std::filesystem::path shared_folder() {
  const char* from_environment = std::getenv("TESSERA_SHARED");
  if (from_environment != nullptr) return from_environment;
#ifdef TESSERA_SHARED_DEFAULT
  return TESSERA_SHARED_DEFAULT;
#else
  return {};
#endif
}

}  // namespace tessera::test_support
