#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "launcher/data/convert/convert.h"
#include "launcher/data/convert/frames.h"
#include "launcher/data/convert/track_builder.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/json_reader.h"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

// The classes of MOTS (Voigtlaender et al. 2019); class 10, object 10000 is what nobody labelled.
constexpr int64_t kIgnored = 10;
const std::map<int64_t, std::string>& class_names() {
  static const std::map<int64_t, std::string> names{{1, "car"}, {2, "pedestrian"}};
  return names;
}

struct Line {
  int64_t frame = 0;  // as the file counts
  int64_t object = 0;
  int64_t category = 0;
  int64_t height = 0, width = 0;  // pixels
  std::string counts;
};

/// A whole number, which tables may write as 1.0 or 1e0.
int64_t parse_number(const std::string& text, const char* what) {
  constexpr double kExact = 9007199254740992;  // 2^53: doubles are whole numbers up to there
  const char* const end = text.data() + text.size();
  int64_t value = 0;
  const auto whole = std::from_chars(text.data(), end, value);
  bool is_number = whole.ec == std::errc() && whole.ptr == end;
  if (!is_number) {
    double number = 0;
    const auto pointed = std::from_chars(text.data(), end, number);
    is_number = pointed.ec == std::errc() && pointed.ptr == end && std::abs(number) <= kExact &&
                std::trunc(number) == number;
    if (is_number) value = static_cast<int64_t>(number);
  }
  if (!is_number || value < 0)
    throw DataError(std::string(what) + ": expected a whole number of 0 or more, got '" +
                    text.substr(0, 40) + "'.");
  return value;
}

Line parse_line(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; words.size() <= 6 && stream >> word;) words.push_back(word);
  if (words.size() != 6)
    throw DataError("expected 'frame object class height width rle', got " +
                    std::string(words.size() > 6 ? "more than 6" : std::to_string(words.size())) +
                    " words.");
  return {.frame = parse_number(words[0], "frame"),
          .object = parse_number(words[1], "object"),
          .category = parse_number(words[2], "class"),
          .height = parse_number(words[3], "height"),
          .width = parse_number(words[4], "width"),
          .counts = words[5]};
}

class MotsConverter {
 public:
  explicit MotsConverter(const ConvertOptions& options)
      : options_(options), tracks_(options.categories) {}

  AnnotationFile run() {
    check_is_folder(options_.images, "images");
    std::vector<fs::path> files{options_.input};
    if (fs::is_directory(options_.input))
      files = list_folder(options_.input, [](const fs::directory_entry& entry) {
        return entry.is_regular_file() && lower_ending(entry.path()) == ".txt";
      });
    if (files.empty())
      throw DataError(options_.input.string() + ": expected MOTS files (.txt), got none.");
    for (const auto& file : files)
      at_place([&] { return file.string(); }, [&] { add_video(file); });
    return at_place([&] { return options_.input.string(); }, [&] { return tracks_.take(); });
  }

 private:
  void add_video(const fs::path& file) {
    std::ifstream stream(file);
    if (!stream) throw DataError("expected a readable file, got none. Check the path.");
    const FrameFolder frames = open_frame_folder(options_.images / file.stem(), options_.rules);
    // Sequences count from 0 (KITTI MOTS) or 1 (MOTSChallenge): images are named by their number.
    std::map<int64_t, int64_t> place_of;
    std::vector<std::string> names;
    for (const auto& frame : frames.files) {
      const int64_t number =
          at_place([&] { return frame.string(); },
                   [&] { return parse_number(frame.stem().string(), "frame's name"); });
      if (!place_of.emplace(number, static_cast<int64_t>(names.size())).second)
        throw DataError(frame.string() + ": expected one frame of each number, got a second one.");
      names.push_back(name_within(options_.images, frame));
    }
    const size_t video = tracks_.add_video(frames.width, frames.height, names);
    size_t number = 0;
    for (std::string text; std::getline(stream, text);) {
      ++number;
      if (text.find_first_not_of(" \t\r") == text.npos) continue;
      at_place([&] { return std::to_string(number); },
               [&] { add_line(video, parse_line(text), place_of); });
    }
  }

  void add_line(size_t video, const Line& line, const std::map<int64_t, int64_t>& place_of) {
    const auto frame = place_of.find(line.frame);
    if (frame == place_of.end())
      throw DataError("frame " + std::to_string(line.frame) +
                      ": expected the number of an image, got none of that number.");
    at_place([&] { return "frame " + std::to_string(line.frame); },
             [&] {
               const Rle mask = decode_counts(line.counts, line.height, line.width);
               const bool ignored = line.category == kIgnored;
               const auto name = class_names().find(line.category);
               if (!ignored && name == class_names().end())
                 throw DataError("class: expected 1 (car), 2 (pedestrian) or 10 (ignored), got " +
                                 std::to_string(line.category) + ".");
               // Ignored regions are of no class: crowds of every class that is there would count
               // double, so they belong to pedestrians, who stand in crowds.
               const std::string& category = ignored ? class_names().at(2) : name->second;
               tracks_.add_mask(video, std::to_string(line.object), category, frame->second, mask,
                                ignored);
             });
  }

  const ConvertOptions& options_;
  TrackBuilder tracks_;
};

}  // namespace

AnnotationFile convert_mots(const ConvertOptions& options) {
  return MotsConverter(options).run();
}

}  // namespace tessera::data
