#include "launcher/evaluation/result_index.h"

#include <simdjson.h>

#include <atomic>
#include <cstring>
#include <string>

#include "core/error.h"
#include "launcher/data/json_parts.h"
#include "launcher/data/parallel_for.h"
#include "launcher/evaluation/zipped_results.h"

namespace tessera::evaluation {
namespace {

namespace ondemand = simdjson::ondemand;

// The characters between the quotes of a string, as written.
bool read_raw_string(ondemand::value value, std::string_view& text) {
  ondemand::json_type type;
  if (value.type().get(type) != simdjson::SUCCESS || type != ondemand::json_type::string) {
    return false;
  }
  std::string_view token = value.raw_json_token();
  while (!token.empty() && token.back() != '"') token.remove_suffix(1);
  if (token.size() < 3) return false;  // an empty string is an error that others word
  text = token.substr(1, token.size() - 2);
  return true;
}

bool read_size(ondemand::value value, int64_t& height, int64_t& width) {
  ondemand::array list;
  if (value.get_array().get(list) != simdjson::SUCCESS) return false;
  size_t count = 0;
  for (auto item : list) {
    int64_t number = 0;
    if (item.get_int64().get(number) != simdjson::SUCCESS || count == 2) return false;
    (count++ == 0 ? height : width) = number;
  }
  return count == 2;
}

// A compressed string as decode_counts takes it; only a backslash is ever written as two
// characters.
std::string_view unescaped(std::string_view text, std::string& buffer) {
  if (std::memchr(text.data(), '\\', text.size()) == nullptr) return text;
  buffer.clear();
  while (!text.empty()) {
    const size_t backslash = text.find('\\');
    if (backslash == text.npos) break;
    if (backslash + 1 == text.size() || text[backslash + 1] != '\\') {
      throw DataError("'counts': expected no escapes but that of a backslash.");
    }
    buffer.append(text, 0, backslash + 1);
    text.remove_prefix(backslash + 2);
  }
  return buffer.append(text);
}

}  // namespace

bool ResultIndex::read_track(std::string_view text, size_t readable_after, StoredTrack& track) {
  thread_local ondemand::parser parser;
  track.text = text;
  // The parser reads some bytes beyond the end; a copy has them where the file has not. Masks must
  // point into the file, so such an entry (the last one) is left to the slow way, unless it fits.
  if (readable_after < simdjson::SIMDJSON_PADDING) return false;
  ondemand::document document;
  if (parser.iterate(text.data(), text.size(), text.size() + simdjson::SIMDJSON_PADDING)
          .get(document) != simdjson::SUCCESS) {
    return false;
  }
  ondemand::object object;
  if (document.get_object().get(object) != simdjson::SUCCESS) return false;
  int seen = 0;
  for (auto field : object) {
    std::string_view key;
    ondemand::value value;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS ||
        field.value().get(value) != simdjson::SUCCESS) {
      return false;
    }
    int bit = 0;
    if (key == "video_id") {
      bit = 1;
      if (value.get_int64().get(track.entry.video_id) != simdjson::SUCCESS) return false;
    } else if (key == "category_id") {
      bit = 2;
      if (value.get_int64().get(track.entry.category_id) != simdjson::SUCCESS) return false;
    } else if (key == "score") {
      bit = 4;
      if (value.get_double().get(track.entry.score) != simdjson::SUCCESS) return false;
    } else if (key == "segmentations") {
      bit = 8;
      ondemand::array list;
      if (value.get_array().get(list) != simdjson::SUCCESS) return false;
      for (auto item : list) {
        ondemand::value mask;
        if (item.get(mask) != simdjson::SUCCESS) return false;
        StoredMask& stored = track.masks.emplace_back();
        bool is_null = false;
        if (mask.is_null().get(is_null) != simdjson::SUCCESS) return false;
        if (is_null) continue;
        ondemand::object parts;
        if (mask.get_object().get(parts) != simdjson::SUCCESS) return false;
        int mask_seen = 0;
        for (auto part : parts) {
          std::string_view name;
          ondemand::value content;
          if (part.unescaped_key().get(name) != simdjson::SUCCESS ||
              part.value().get(content) != simdjson::SUCCESS) {
            return false;
          }
          if (name == "size" && (mask_seen & 1) == 0) {
            mask_seen |= 1;
            if (!read_size(content, stored.height, stored.width)) return false;
          } else if (name == "counts" && (mask_seen & 2) == 0) {
            mask_seen |= 2;
            if (!read_raw_string(content, stored.counts)) return false;
          } else {
            return false;
          }
        }
        if (mask_seen != 3) return false;
      }
    }
    if (bit == 0 || (seen & bit) != 0) return false;  // an unknown or a second key
    seen |= bit;
  }
  return seen == 15;
}

std::optional<ResultIndex> ResultIndex::read(const std::filesystem::path& file,
                                             size_t num_threads) {
  auto zipped = read_zipped_results(file);
  ResultIndex index(zipped ? std::make_unique<data::MappedFile>(std::move(*zipped))
                           : std::make_unique<data::MappedFile>(file));
  const auto parts = data::split_list(index.file_->text());
  if (!parts) return std::nullopt;
  index.tracks_.resize(parts->size());
  std::atomic<bool> is_usual = true;
  data::parallel_for(parts->size(), num_threads, [&](size_t i) {
    if (!is_usual) return;
    const std::string_view text = (*parts)[i];
    if (!read_track(text, index.file_->readable_after(text), index.tracks_[i])) is_usual = false;
    index.file_->release(text);
  });
  if (!is_usual) return std::nullopt;
  for (const StoredTrack& track : index.tracks_) index.entries_.push_back(track.entry);
  return index;
}

std::vector<std::optional<data::Rle>> ResultIndex::masks(size_t entry) const {
  const StoredTrack& track = tracks_[entry];
  std::vector<std::optional<data::Rle>> masks(track.masks.size());
  std::string buffer;
  for (size_t t = 0; t < masks.size(); ++t) {
    const StoredMask& stored = track.masks[t];
    if (stored.counts.empty()) continue;
    masks[t] = data::decode_counts(unescaped(stored.counts, buffer), stored.height, stored.width);
  }
  file_->release(track.text);
  return masks;
}

}  // namespace tessera::evaluation
