#include "launcher/inference/result_collector.h"

#include <vector>

#include "launcher/inference/video_share.h"

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
  lines_ += line_of_video(video, evaluation::result_json(result));
}

int64_t ResultCollector::finish() {
  if (world_.size() > 1) write_gathered();
  if (writer_) writer_->finish();
  return count_;
}

void ResultCollector::write_gathered() {
  const std::vector<std::string> tracks = in_order_of_videos(world_.gather(lines_));
  if (!writer_) return;
  for (const std::string& track : tracks) writer_->append_json(track);
  count_ = static_cast<int64_t>(tracks.size());
}

}  // namespace tessera
