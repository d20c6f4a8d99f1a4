#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "core/error.h"
#include "launcher/data/rle.h"

namespace tessera::test_support {

using Json = nlohmann::ordered_json;

/// A folder of its own for each test, gone afterwards.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("tessera_evaluation_" + std::to_string(std::random_device{}()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    // Some file systems flush a file that is cut to nothing; a new one is much faster.
    std::filesystem::remove(folder_ / name);
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  std::filesystem::path write_json(const std::string& name, const Json& json) const {
    return write(name, json.dump());
  }

  std::filesystem::path folder_;
};

/// The message of the error that `body` must throw; "" (and a failure) if it throws none.
template <typename Error = DataError>
std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "expected an error, got none";
  return "";
}

/// Each of `parts` must be in the message.
inline void expect_parts(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "no '" << part << "' in: " << message;
  }
}

/// The shared reference data, or an empty path where this machine has none.
inline std::filesystem::path shared_folder() {
  const char* from_environment = std::getenv("TESSERA_SHARED");
#ifdef TESSERA_SHARED_DEFAULT
  const std::filesystem::path folder =
      from_environment != nullptr ? from_environment : TESSERA_SHARED_DEFAULT;
#else
  const std::filesystem::path folder = from_environment != nullptr ? from_environment : "";
#endif
  return std::filesystem::is_directory(folder / "eval") ? folder : "";
}

/// A mask with one rectangle, as the file holds it.
inline data::Rle box_rle(int64_t height, int64_t width, int64_t x, int64_t y, int64_t box_width,
                         int64_t box_height) {
  std::vector<uint8_t> mask(static_cast<size_t>(height * width), 0);
  for (int64_t row = y; row < y + box_height; ++row) {
    for (int64_t column = x; column < x + box_width; ++column) mask[row * width + column] = 1;
  }
  return data::from_mask(mask, height, width);
}

inline Json rle_json(const data::Rle& rle) {
  return {{"size", {rle.height, rle.width}}, {"counts", data::encode_counts(rle)}};
}

/// Video 7 of two frames, 4 x 5 pixels, with one track of 2 x 3 = 6 pixels in its first frame.
inline Json small_ground_truth() {
  const Json mask = rle_json(box_rle(4, 5, 1, 0, 2, 3));
  return {{"videos",
           {{{"id", 7},
             {"width", 5},
             {"height", 4},
             {"length", 2},
             {"file_names", {"a/0.jpg", "a/1.jpg"}}}}},
          {"categories", {{{"id", 3}, {"name", "duck"}}}},
          {"annotations",
           {{{"id", 11},
             {"video_id", 7},
             {"category_id", 3},
             {"iscrowd", 0},
             {"segmentations", {mask, nullptr}},
             {"areas", {6, nullptr}},
             {"bboxes", {{1, 0, 2, 3}, nullptr}},
             {"occlusion", {"slight_occlusion", nullptr}}}}}};
}

/// The track of small_ground_truth as a prediction.
inline Json small_results() {
  return Json::array({{{"video_id", 7},
                       {"category_id", 3},
                       {"score", 0.5},
                       {"segmentations", {rle_json(box_rle(4, 5, 1, 0, 2, 3)), nullptr}}}});
}

}  // namespace tessera::test_support
