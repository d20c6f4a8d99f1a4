#include "launcher/data/synth_scene.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "launcher/data/synth_shape.h"

namespace tessera::data {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;
// The background keeps to the middle and an object's own channel to the ends: 60 levels between.
constexpr double kBackgroundLow = 90;
constexpr double kBackgroundHigh = 165;
constexpr double kOwnLow = 30;
constexpr double kOwnHigh = 225;
constexpr double kNoise = 6;
constexpr double kSmallestRadius = 6;
constexpr double kLargestStep = 0.06;  // of the shorter side, in a frame
constexpr double kOutside = 1.3;       // radii from an edge at which an object just does not show

cv::Vec3d draw_colour(Random& random, double low, double high) {
  cv::Vec3d colour;
  for (int c = 0; c < 3; ++c) colour[c] = random.uniform(low, high);
  return colour;
}

cv::Vec3b to_levels(const cv::Vec3d& colour) {
  cv::Vec3b levels;
  for (int c = 0; c < 3; ++c) levels[c] = cv::saturate_cast<uint8_t>(colour[c]);
  return levels;
}

}  // namespace

SynthScene::SynthScene(const Size& size, int64_t max_instances, Random random) : size_(size) {
  noise_key_ = random.next();
  low_ = draw_colour(random, kBackgroundLow, kBackgroundHigh);
  high_ = draw_colour(random, kBackgroundLow, kBackgroundHigh);
  gradient_angle_ = random.uniform(0, kTurn);
  ripple_ = random.uniform(0.02, 0.15);
  const int64_t count = random.integer(1, max_instances);
  // The object in front stays in the picture, so that no video is empty.
  for (int64_t i = 0; i < count; ++i) objects_.push_back(draw_object(random, i == count - 1));
  remove_unseen();
}

SynthScene::Object SynthScene::draw_object(Random& random, bool stays_inside) const {
  const auto width = static_cast<double>(size_.width);
  const auto height = static_cast<double>(size_.height);
  const double side = std::min(width, height);
  const auto inside = [&] {
    return cv::Point2d(random.uniform(0.2, 0.8) * width, random.uniform(0.2, 0.8) * height);
  };
  Object object;
  object.shape = random.integer(0, static_cast<int64_t>(synth_shapes().size()) - 1);
  object.radius = std::max(kSmallestRadius, random.uniform(0.12, 0.26) * side);
  object.start = inside();
  const double way =
      random.uniform(0, std::min(0.6, kLargestStep * static_cast<double>(size_.frames))) * side;
  const double direction = random.uniform(0, kTurn);
  object.end = object.start + way * cv::Point2d(std::cos(direction), std::sin(direction));
  object.end.x = std::clamp(object.end.x, 0.1 * width, 0.9 * width);
  object.end.y = std::clamp(object.end.y, 0.1 * height, 0.9 * height);
  if (!stays_inside && random.happens(0.4)) {
    const Crossing crossing = draw_crossing(random, object.radius);
    const bool enters = random.happens(0.5);
    object.start = enters ? crossing.outside : crossing.inside;
    object.end = enters ? crossing.inside : crossing.outside;
  }
  object.wobble = random.uniform(0, 0.04) * side;
  object.wobble_phase = random.uniform(0, kTurn);
  object.growth = random.uniform(0, 0.25);
  object.growth_phase = random.uniform(0, kTurn);
  object.angle = random.uniform(0, kTurn);
  object.spin = random.uniform(-0.06, 0.06);
  object.own_channel = static_cast<int>(random.integer(0, 2));
  const bool bright = random.happens(0.5);
  object.colour = draw_colour(random, 0, 255);
  object.second_colour = draw_colour(random, 0, 255);
  for (cv::Vec3d* colour : {&object.colour, &object.second_colour})
    (*colour)[object.own_channel] =
        bright ? random.uniform(kOwnHigh + kNoise, 255) : random.uniform(0, kOwnLow - kNoise);
  object.texture = static_cast<int>(random.integer(0, 2));
  object.texture_period = random.uniform(0.3, 0.8);
  return object;
}

/// A way over an edge: from where an object of that radius just does not show to where it gets in
/// the clip's time at a speed that still lets it be followed.
SynthScene::Crossing SynthScene::draw_crossing(Random& random, double radius) const {
  const auto width = static_cast<double>(size_.width);
  const auto height = static_cast<double>(size_.height);
  const double side = std::min(width, height);
  const double distance = kOutside * radius;
  const double steps = static_cast<double>(size_.frames - 1);
  const double way = std::min(distance + 0.4 * side, random.uniform(0.07, 0.14) * side * steps);
  const int64_t edge = random.integer(0, 3);
  const bool horizontal = edge < 2;
  const double along =
      horizontal ? random.uniform(0.1, 0.9) * height : random.uniform(0.1, 0.9) * width;
  const double length = horizontal ? width : height;
  const bool low = edge % 2 == 0;
  const double outside = low ? -distance : length + distance;
  const double inside = low ? outside + way : outside - way;
  if (horizontal) return {{outside, along}, {inside, along}};
  return {{along, outside}, {along, inside}};
}

SynthScene::Pose SynthScene::pose(const Object& object, int64_t frame) const {
  const auto t = static_cast<double>(frame);
  const double way = size_.frames > 1 ? t / static_cast<double>(size_.frames - 1) : 0;
  const double wobble = std::sin(0.35 * t + object.wobble_phase);
  return {object.start + way * (object.end - object.start) +
              object.wobble * wobble * cv::Point2d(0.6, 0.8),
          object.radius * (1 + object.growth * std::sin(0.25 * t + object.growth_phase)),
          object.angle + object.spin * t};
}

cv::Mat SynthScene::draw_owners(int64_t frame) const {
  cv::Mat owners(static_cast<int>(size_.height), static_cast<int>(size_.width), CV_8UC1,
                 cv::Scalar(0));
  for (size_t i = 0; i < objects_.size(); ++i) {
    const Pose at = pose(objects_[i], frame);
    const int top = std::max(0, static_cast<int>(at.centre.y - at.radius) - 1);
    const int bottom = std::min(owners.rows, static_cast<int>(at.centre.y + at.radius) + 2);
    for (int y = top; y < bottom; ++y)
      for (int x = 0; x < owners.cols; ++x) {
        const cv::Point2d offset = cv::Point2d(x + 0.5, y + 0.5) - at.centre;
        if (is_inside_shape(objects_[i].shape, rotated(offset / at.radius, -at.angle)))
          owners.at<uint8_t>(y, x) = static_cast<uint8_t>(i + 1);
      }
  }
  return owners;
}

/// Objects that never show enough are taken out of the picture: all that is drawn is annotated.
void SynthScene::remove_unseen() {
  while (true) {
    owners_.clear();
    std::vector<bool> seen(objects_.size(), false);
    for (int64_t frame = 0; frame < size_.frames; ++frame) {
      owners_.push_back(draw_owners(frame));
      for (size_t i = 0; i < objects_.size(); ++i)
        if (!seen[i]) seen[i] = cv::countNonZero(mask(frame, i)) >= kSmallestSynthArea;
    }
    std::vector<Object> kept;
    for (size_t i = 0; i < objects_.size(); ++i)
      if (seen[i]) kept.push_back(objects_[i]);
    if (kept.size() == objects_.size()) return;
    objects_ = kept;
  }
}

cv::Mat SynthScene::mask(int64_t frame, size_t instance) const {
  const cv::Mat& owners = owners_.at(static_cast<size_t>(frame));
  cv::Mat visible(owners.size(), CV_8UC1);
  for (int y = 0; y < owners.rows; ++y)
    for (int x = 0; x < owners.cols; ++x)
      visible.at<uint8_t>(y, x) = owners.at<uint8_t>(y, x) == instance + 1 ? 1 : 0;
  return visible;
}

cv::Vec3d SynthScene::background(int x, int y, Random& noise) const {
  const double along = std::cos(gradient_angle_) * x / static_cast<double>(size_.width) +
                       std::sin(gradient_angle_) * y / static_cast<double>(size_.height);
  const double mix =
      std::clamp(0.5 + 0.5 * along + 0.2 * std::sin(ripple_ * x) * std::cos(ripple_ * y), 0.0, 1.0);
  cv::Vec3d colour = low_ * (1 - mix) + high_ * mix;
  for (int c = 0; c < 3; ++c)
    colour[c] =
        std::clamp(colour[c] + noise.uniform(-kNoise, kNoise), kBackgroundLow, kBackgroundHigh);
  return colour;
}

cv::Vec3d SynthScene::object_colour(const Object& object, const Pose& pose, int x, int y,
                                    Random& noise) const {
  const cv::Point2d local =
      rotated((cv::Point2d(x + 0.5, y + 0.5) - pose.centre) / pose.radius, -pose.angle);
  const auto odd = [&](double value) {
    return (static_cast<int64_t>(std::floor(value / object.texture_period)) & 1) != 0;
  };
  bool second = odd(local.x);                                           // stripes
  if (object.texture == 1) second = second != odd(local.y);             // checks
  if (object.texture == 2) second = odd(std::hypot(local.x, local.y));  // rings
  cv::Vec3d colour = second ? object.second_colour : object.colour;
  for (int c = 0; c < 3; ++c) colour[c] += noise.uniform(-kNoise, kNoise);
  return colour;
}

cv::Mat SynthScene::render(int64_t frame) const {
  const cv::Mat& owners = owners_.at(static_cast<size_t>(frame));
  std::vector<Pose> poses;
  for (const Object& object : objects_) poses.push_back(pose(object, frame));
  Random noise({noise_key_, static_cast<uint64_t>(frame)});
  cv::Mat image(owners.size(), CV_8UC3);
  for (int y = 0; y < owners.rows; ++y)
    for (int x = 0; x < owners.cols; ++x) {
      const size_t owner = owners.at<uint8_t>(y, x);
      image.at<cv::Vec3b>(y, x) =
          to_levels(owner == 0 ? background(x, y, noise)
                               : object_colour(objects_[owner - 1], poses[owner - 1], x, y, noise));
    }
  return image;
}

}  // namespace tessera::data
