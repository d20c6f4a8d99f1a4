#include "launcher/evaluation/results_writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "launcher/data/json_reader.h"

namespace tessera::evaluation {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

/// The shortest text that reads back as the same double.
std::string number_text(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

void append_segmentation(std::string& text, const std::optional<data::Rle>& rle) {
  if (!rle) {
    text += "null";
    return;
  }
  text += "{\"size\":[" + std::to_string(rle->height) + "," + std::to_string(rle->width) +
          "],\"counts\":\"";
  for (const char c : data::encode_counts(*rle)) {
    if (c == '\\') text += '\\';  // the only character of the code that JSON escapes
    text += c;
  }
  text += "\"}";
}

void check_score(double score) {
  if (!std::isfinite(score))
    throw DataError("expected a finite score, got " + std::to_string(score) + ".");
}

void check_mask(const std::optional<data::Rle>& mask, size_t frame) {
  if (!mask) return;
  data::at_place([&] { return "frame " + std::to_string(frame); }, [&] { data::check(*mask); });
}

/// A track's text up to its masks.
std::string track_head(const ResultTrack& track) {
  return "{\"video_id\":" + std::to_string(track.video_id) +
         ",\"category_id\":" + std::to_string(track.category_id) +
         ",\"score\":" + number_text(track.score) + ",\"segmentations\":[";
}

}  // namespace

std::string result_json(const ResultTrack& track) {
  check_score(track.score);
  for (size_t t = 0; t < track.segmentations.size(); ++t) check_mask(track.segmentations[t], t);
  std::string text = track_head(track);
  for (size_t t = 0; t < track.segmentations.size(); ++t) {
    if (t > 0) text += ',';
    append_segmentation(text, track.segmentations[t]);
  }
  return text + "]}";
}

ResultsWriter::ResultsWriter(const std::filesystem::path& file) : file_(file) {
  out_.emplace(file);
  buffer_.push_back('[');
  flush();  // a full disk shows on the first byte
}

void ResultsWriter::append(const ResultTrack& track) {
  std::string text;
  data::at_place([&] { return file_.string() + ": " + result_place(track, num_tracks_); },
                 [&] { text = result_json(track); });
  append_json(text);
}

void ResultsWriter::append(
    const ResultTrack& track, size_t num_frames,
    const std::function<std::optional<data::Rle>(size_t frame)>& mask_of_frame) {
  expect_unfinished();
  data::at_place([&] { return file_.string() + ": " + result_place(track, num_tracks_); },
                 [&] {
                   check_score(track.score);
                   is_broken_ = true;
                   begin_track();
                   buffer_ += track_head(track);
                   for (size_t t = 0; t < num_frames; ++t) {
                     const std::optional<data::Rle> mask = mask_of_frame(t);
                     check_mask(mask, t);
                     if (t > 0) buffer_ += ',';
                     append_segmentation(buffer_, mask);
                     if (buffer_.size() >= kBufferBytes) flush();
                   }
                   buffer_ += "]}";
                   is_broken_ = false;
                 });
}

void ResultsWriter::append_json(const std::string& track) {
  expect_unfinished();
  begin_track();
  buffer_ += track;
  if (buffer_.size() >= kBufferBytes) flush();
}

void ResultsWriter::expect_unfinished() const {
  if (!out_)
    throw RuntimeError(file_.string() +
                       ": expected an unfinished results file, got a finished one.");
  if (is_broken_)
    throw RuntimeError(file_.string() +
                       ": expected whole tracks, got one that ended with an error.");
}

void ResultsWriter::begin_track() {
  buffer_ += num_tracks_ == 0 ? "\n" : ",\n";
  ++num_tracks_;
}

void ResultsWriter::finish() {
  expect_unfinished();
  buffer_ += "\n]\n";
  flush();
  out_->commit();
  out_.reset();
}

void ResultsWriter::flush() {
  out_->write(buffer_);
  buffer_.clear();
}

}  // namespace tessera::evaluation
