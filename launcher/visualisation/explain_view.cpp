#include "launcher/visualisation/explain_view.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "launcher/data/image_mat.h"
#include "launcher/visualisation/overlay.h"
#include "launcher/visualisation/text.h"

namespace tessera::visualisation {
namespace {

constexpr int kTileWidth = 240, kRowGap = 6, kRowTitle = 24, kCaption = 18;
const cv::Scalar kBackground = cv::Scalar::all(255), kWords = cv::Scalar::all(30);

/// Which of the recorded queries speaks for `query` in group `group`.
int64_t row_of(const ExplainedWindow& window, int64_t query, int64_t own_frame) {
  const int64_t rows = window.looked.weights.size(1), queries = window.num_queries;
  if (rows == queries) return query;
  if (rows == window.looked.num_frames * queries) return own_frame * queries + query;
  throw ShapeError("infer --explain: expected " + std::to_string(queries) + " queries, or " +
                   std::to_string(window.looked.num_frames) + " times as many, in " +
                   window.looked.attention + ", got " + std::to_string(rows) + ".");
}

/// Cell weights of one frame [S] -> [H,W], of all levels, weight a pixel.
at::Tensor pixel_map(const at::Tensor& cells, const ExplainedWindow& window) {
  at::Tensor sum = at::zeros({window.geometry.height, window.geometry.width});
  for (const MemoryLevel& level : window.looked.levels) {
    const at::Tensor map = cells.narrow(0, level.offset, level.height * level.width)
                               .view({1, 1, level.height, level.width}) /
                           static_cast<double>(level.stride * level.stride);
    const at::Tensor pixels =
        at::upsample_bilinear2d(map, {level.height * level.stride, level.width * level.stride},
                                /*align_corners=*/false)[0][0];
    sum += pixels.narrow(0, 0, sum.size(0)).narrow(1, 0, sum.size(1));
  }
  return sum;
}

std::vector<FrameView> view_cells(const ExplainedWindow& window, int64_t query, int64_t own_frame) {
  const LookedAt& looked = window.looked;
  const int64_t row = row_of(window, query, own_frame);
  std::vector<FrameView> views;
  for (int64_t t = 0; t < looked.num_frames; ++t) {
    const at::Tensor tokens =
        looked.per_frame ? looked.weights[t][row]
                         : looked.weights[0][row].narrow(0, t * looked.tokens, looked.tokens);
    views.push_back(
        {looked.per_frame ? -1 : tokens.sum().item<double>(), pixel_map(tokens, window), {}});
  }
  return views;
}

std::vector<FrameView> view_points(const ExplainedWindow& window, int64_t query,
                                   int64_t own_frame) {
  const LookedAt& looked = window.looked;
  const int64_t row = row_of(window, query, own_frame), frames = looked.num_frames;
  const bool in_time = looked.locations.size(-1) == 3;
  if (!in_time && !looked.per_frame)
    throw ShapeError("infer --explain: expected points with a time in " + looked.attention +
                     ", whose queries look at all frames, got points without.");
  const auto num_levels = static_cast<int64_t>(looked.levels.size());
  const int64_t heads = looked.weights.size(2), points = looked.weights.size(3);
  const bool by_level = !in_time && points % num_levels == 0;  // points of a level lie together
  std::vector<std::vector<float>> found(static_cast<size_t>(frames));
  std::vector<double> shares(static_cast<size_t>(frames), 0);
  auto put = [&](int64_t frame, double x, double y, double weight) {
    const bool is_inside = frame >= 0 && frame < frames && x >= 0 && y >= 0 &&
                           x < static_cast<double>(window.geometry.width) &&
                           y < static_cast<double>(window.geometry.height);
    if (!is_inside || weight <= 0) return;
    auto& list = found[static_cast<size_t>(frame)];
    for (const double value : {x, y, weight}) list.push_back(static_cast<float>(value));
    shares[static_cast<size_t>(frame)] += weight;
  };
  const auto place = looked.locations.accessor<float, 5>();  // [G,Lq,M,P,2|3]
  const auto weight = looked.weights.accessor<float, 4>();
  for (int64_t g = 0; g < looked.weights.size(0); ++g)
    for (int64_t m = 0; m < heads; ++m)
      for (int64_t p = 0; p < points; ++p) {
        const MemoryLevel& level =
            looked.levels[static_cast<size_t>(by_level ? p / (points / num_levels) : 0)];
        const double x = place[g][row][m][p][0] * static_cast<double>(level.width * level.stride);
        const double y = place[g][row][m][p][1] * static_cast<double>(level.height * level.stride);
        const double w = weight[g][row][m][p] / static_cast<double>(heads);
        if (!in_time) {
          put(g, x, y, w);
          continue;
        }
        // Between two frames a point reads both.
        const double t = place[g][row][m][p][2] * static_cast<double>(frames) - 0.5;
        const double before = std::floor(t);
        put(static_cast<int64_t>(before), x, y, w * (1 - (t - before)));
        put(static_cast<int64_t>(before) + 1, x, y, w * (t - before));
      }
  std::vector<FrameView> views;
  for (size_t t = 0; t < found.size(); ++t)
    views.push_back({looked.per_frame ? -1 : shares[t],
                     {},
                     at::tensor(found[t]).view({static_cast<int64_t>(found[t].size()) / 3, 3})});
  return views;
}

/// Inferno, RGB.
cv::Vec3b heat_colour(double value) {
  cv::Mat one(1, 1, CV_8UC1, cv::Scalar(std::clamp(value, 0.0, 1.0) * 255)), coloured;
  cv::applyColorMap(one, coloured, cv::COLORMAP_INFERNO);
  const cv::Vec3b bgr = coloured.at<cv::Vec3b>(0, 0);
  return {bgr[2], bgr[1], bgr[0]};
}

/// Where it is hot the picture gives way to the heat.
void draw_heat(cv::Mat& tile, const at::Tensor& map, double hottest) {
  at::Tensor values = (map / hottest).clamp(0, 1).contiguous();
  const cv::Mat small(static_cast<int>(map.size(0)), static_cast<int>(map.size(1)), CV_32FC1,
                      values.data_ptr<float>());
  cv::Mat heat, bytes, coloured;
  cv::resize(small, heat, tile.size(), 0, 0, cv::INTER_LINEAR);
  heat.convertTo(bytes, CV_8UC1, 255);
  cv::applyColorMap(bytes, coloured, cv::COLORMAP_INFERNO);
  for (int y = 0; y < tile.rows; ++y)
    for (int x = 0; x < tile.cols; ++x) {
      const double opacity = 0.8 * std::sqrt(heat.at<float>(y, x));
      const cv::Vec3b bgr = coloured.at<cv::Vec3b>(y, x);
      auto& pixel = tile.at<cv::Vec3b>(y, x);
      for (int c = 0; c < 3; ++c)
        pixel[c] = cv::saturate_cast<uint8_t>(pixel[c] * (1 - opacity) + bgr[2 - c] * opacity);
    }
}

void draw_points(cv::Mat& tile, const at::Tensor& points, double hottest, int64_t frame_width) {
  const auto p = points.accessor<float, 2>();
  const double scale = tile.cols / static_cast<double>(frame_width);
  for (int64_t i = 0; i < points.size(0); ++i) {
    const double part = p[i][2] / hottest;
    const cv::Point at(static_cast<int>(std::lround(p[i][0] * scale)),
                       static_cast<int>(std::lround(p[i][1] * scale)));
    const int radius = 2 + static_cast<int>(std::lround(4 * std::sqrt(std::min(part, 1.0))));
    const cv::Vec3b colour = heat_colour(0.35 + 0.65 * part);
    cv::circle(tile, at, radius, cv::Scalar(colour[0], colour[1], colour[2]), cv::FILLED,
               cv::LINE_AA);
    cv::circle(tile, at, radius, cv::Scalar::all(0), 1, cv::LINE_AA);
  }
}

void draw_outline(cv::Mat& tile, const at::Tensor& mask, int64_t id) {
  at::Tensor bytes = mask.to(at::kByte).contiguous();
  const cv::Mat small(static_cast<int>(mask.size(0)), static_cast<int>(mask.size(1)), CV_8UC1,
                      bytes.data_ptr<uint8_t>());
  cv::Mat large;
  cv::resize(small, large, tile.size(), 0, 0, cv::INTER_NEAREST);
  std::vector<std::vector<cv::Point>> contours;
  cv::findContours(large, contours, cv::RETR_EXTERNAL, cv::CHAIN_APPROX_NONE);
  const auto [r, g, b] = track_colour(id);
  cv::drawContours(tile, contours, -1, cv::Scalar(r, g, b), 2);
}

std::string caption(int64_t number, double share) {
  char text[48];
  if (share < 0)
    std::snprintf(text, sizeof(text), "frame %lld", static_cast<long long>(number));
  else
    std::snprintf(text, sizeof(text), "frame %lld: %.0f %%", static_cast<long long>(number),
                  100 * share);
  return text;
}

/// The largest weight of a row's pixels or points.
double hottest_of(const std::vector<FrameView>& views) {
  double most = 0;
  for (const FrameView& view : views) {
    if (view.map.defined()) most = std::max(most, view.map.max().item<double>());
    if (view.points.defined() && view.points.size(0) > 0)
      most = std::max(most, view.points.select(1, 2).max().item<double>());
  }
  return most > 0 ? most : 1;
}

}  // namespace

std::vector<FrameView> view_query(const ExplainedWindow& window, int64_t query, int64_t own_frame) {
  std::vector<FrameView> views = window.looked.locations.defined()
                                     ? view_points(window, query, own_frame)
                                     : view_cells(window, query, own_frame);
  for (FrameView& view : views) view.frame_width = window.geometry.width;
  return views;
}

at::Tensor draw_explanation(const std::vector<at::Tensor>& frames,
                            const std::vector<int64_t>& numbers,
                            const std::vector<ExplainedTrack>& tracks, const std::string& title) {
  data::use_single_opencv_thread();
  const auto columns = static_cast<int>(frames.size()), rows = static_cast<int>(tracks.size());
  const cv::Size tile(
      kTileWidth,
      static_cast<int>(std::lround(kTileWidth * static_cast<double>(frames.at(0).size(0)) /
                                   static_cast<double>(frames.at(0).size(1)))));
  const int row_height = kRowTitle + tile.height + kCaption + kRowGap;
  cv::Mat sheet(kRowTitle + kRowGap + rows * row_height, kRowGap + columns * (tile.width + kRowGap),
                CV_8UC3, kBackground);
  auto write = [&](const std::string& text, int x, int y, double size) {
    Text(text, size).draw(sheet, {x, y}, kWords);
  };
  write(title, kRowGap, kRowTitle - 6, 0.45);
  for (int r = 0; r < rows; ++r) {
    const ExplainedTrack& track = tracks[static_cast<size_t>(r)];
    const int top = kRowTitle + kRowGap + r * row_height;
    write(track.label, kRowGap, top + kRowTitle - 8, 0.45);
    const double hottest = hottest_of(track.views);
    for (int c = 0; c < columns; ++c) {
      const auto i = static_cast<size_t>(c);
      const FrameView& view = track.views[i];
      const int left = kRowGap + c * (tile.width + kRowGap);
      cv::Mat place = sheet(cv::Rect(cv::Point(left, top + kRowTitle), tile));
      const at::Tensor frame = frames[i].contiguous();
      cv::resize(data::to_mat(frame), place, tile, 0, 0,
                 tile.width < frame.size(1) ? cv::INTER_AREA : cv::INTER_LINEAR);
      if (view.map.defined()) draw_heat(place, view.map, hottest);
      if (track.masks[i].defined()) draw_outline(place, track.masks[i], track.id);
      if (view.points.defined()) draw_points(place, view.points, hottest, view.frame_width);
      write(caption(numbers[i], view.share), left, top + kRowTitle + tile.height + kCaption - 5,
            0.4);
    }
  }
  return data::to_tensor(sheet);
}

}  // namespace tessera::visualisation
