#include "launcher/inference/result_collector.h"

#include <algorithm>
#include <sstream>
#include <utility>
#include <vector>

namespace tessera {

ResultCollector::ResultCollector(const World& world, const std::filesystem::path& file)
    : world_(world) {
  if (world.is_first()) writer_.emplace(file);
}

void ResultCollector::add(size_t video, int64_t video_id, const VideoTracks& tracks,
                          const VideoTracks::Track& track, int64_t category_id) {
  ++count_;
  evaluation::ResultTrack result{video_id, category_id, track.score, {}};
  if (world_.size() == 1) {
    writer_->append(result, static_cast<size_t>(tracks.num_frames()),
                    [&](size_t frame) { return tracks.mask(track, static_cast<int64_t>(frame)); });
    return;
  }
  result.segmentations = tracks.masks(track);
  lines_ += std::to_string(video) + "\t" + evaluation::result_json(result) + "\n";
}

int64_t ResultCollector::finish() {
  if (world_.size() > 1) write_gathered();
  if (writer_) writer_->finish();
  return count_;
}

void ResultCollector::write_gathered() {
  std::vector<std::pair<int64_t, std::string>> tracks;
  for (const std::string& part : world_.gather(lines_)) {
    std::istringstream stream(part);
    for (std::string line; std::getline(stream, line);) {
      const size_t tab = line.find('\t');
      tracks.emplace_back(std::stoll(line.substr(0, tab)), line.substr(tab + 1));
    }
  }
  std::stable_sort(tracks.begin(), tracks.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  if (!writer_) return;
  for (const auto& [video, track] : tracks) writer_->append_json(track);
  count_ = static_cast<int64_t>(tracks.size());
}

}  // namespace tessera
