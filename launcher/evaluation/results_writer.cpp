#include "launcher/evaluation/results_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <system_error>

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
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) {
    throw RuntimeError(file.string() + ": expected a file to write, got a folder.");
  }
  temporary_file_ = file.string() + ".partial-" + std::to_string(::getpid());
  descriptor_ = ::open(temporary_file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("open");
  buffer_.push_back('[');
  // A full disk shows on the first byte.
  try {
    flush();
  } catch (const RuntimeError&) {
    discard();
    throw;
  }
}

ResultsWriter::~ResultsWriter() {
  discard();
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
  if (descriptor_ < 0)
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
  // Only data that has reached the disk may replace an older file.
  if (::fsync(descriptor_) != 0) fail("write");
  const int descriptor = descriptor_;
  descriptor_ = -1;
  const bool closed = ::close(descriptor) == 0;
  if (!closed || std::rename(temporary_file_.c_str(), file_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_file_.c_str());
    errno = error;
    fail(closed ? "rename the finished file to" : "write");
  }
}

void ResultsWriter::flush() {
  size_t written = 0;
  while (written < buffer_.size()) {
    const ssize_t count = ::write(descriptor_, buffer_.data() + written, buffer_.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    written += static_cast<size_t>(count);
  }
  buffer_.clear();
}

void ResultsWriter::fail(const std::string& doing) const {
  const std::string reason = std::error_code(errno, std::generic_category()).message();
  throw RuntimeError(file_.string() + ": expected to " + doing + " the results file, got \"" +
                     reason +
                     "\". The folder must exist and be writable, with enough free space; " +
                     "what was there before is untouched.");
}

void ResultsWriter::discard() noexcept {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  descriptor_ = -1;
  ::unlink(temporary_file_.c_str());
}

}  // namespace tessera::evaluation
