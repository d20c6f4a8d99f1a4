#include "launcher/inference/video_share.h"

#include <algorithm>
#include <numeric>
#include <sstream>

namespace tessera {

std::vector<size_t> own_videos(const std::vector<data::InferenceVideo>& videos, int64_t rank,
                               int64_t num_ranks) {
  std::vector<size_t> order(videos.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return videos[a].length > videos[b].length; });
  std::vector<size_t> own;
  for (size_t i = 0; i < order.size(); ++i)
    if (static_cast<int64_t>(i) % num_ranks == rank) own.push_back(order[i]);
  std::sort(own.begin(), own.end());
  return own;
}

std::string line_of_video(size_t video, const std::string& text) {
  return std::to_string(video) + "\t" + text + "\n";
}

std::vector<std::string> in_order_of_videos(const std::vector<std::string>& parts) {
  std::vector<std::pair<size_t, std::string>> found;
  for (const std::string& part : parts) {
    std::istringstream stream(part);
    for (std::string line; std::getline(stream, line);) {
      const size_t tab = line.find('\t');
      found.emplace_back(std::stoull(line.substr(0, tab)), line.substr(tab + 1));
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> lines;
  for (auto& [video, line] : found) lines.push_back(std::move(line));
  return lines;
}

}  // namespace tessera
