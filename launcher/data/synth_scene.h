#pragma once

#include <cstdint>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "core/structures/random.h"

namespace tessera::data {

/// An object counts as absent where it shows fewer pixels.
inline constexpr int64_t kSmallestSynthArea = 12;

/// Names of the shapes; a shape is a category, its index here is the label.
const std::vector<std::string>& synth_shapes();

/// One generated video: textured shapes that move, turn, grow, hide one another, enter and leave,
/// before a noisy gradient. Every pixel of a shape is at least 60 levels from every pixel of the
/// background in one channel of its own.
class SynthScene {
 public:
  struct Size {
    int64_t frames = 0;
    int64_t height = 0;  // pixels, at least kSmallestSynthSide
    int64_t width = 0;
  };
  static constexpr int64_t kSmallestSynthSide = 32;
  static constexpr int64_t kMostInstances = 100;

  /// Draws 1..max_instances objects; those that no frame shows are left out.
  SynthScene(const Size& size, int64_t max_instances, Random random);

  size_t num_instances() const { return objects_.size(); }
  int64_t label(size_t instance) const { return objects_[instance].shape; }
  /// out: CV_8UC3 RGB.
  cv::Mat render(int64_t frame) const;
  /// The visible pixels, also where they are too few to count. out: CV_8UC1, 0 or 1.
  cv::Mat mask(int64_t frame, size_t instance) const;

 private:
  struct Object {
    int64_t shape = 0;
    cv::Point2d start, end;  // centre at the first and at the last frame
    double wobble = 0, wobble_phase = 0;
    double radius = 0, growth = 0, growth_phase = 0;
    double angle = 0, spin = 0;
    int own_channel = 0;  // the one that sets it apart from the background
    cv::Vec3d colour, second_colour;
    int texture = 0;
    double texture_period = 0;  // of the radius
  };
  struct Pose {
    cv::Point2d centre;
    double radius = 0, angle = 0;
  };

  struct Crossing {
    cv::Point2d outside, inside;
  };

  Object draw_object(Random& random, bool stays_inside) const;
  Crossing draw_crossing(Random& random, double radius) const;
  Pose pose(const Object& object, int64_t frame) const;
  /// out: CV_8UC1, 0 = background, else 1 + the index of the object in front.
  cv::Mat draw_owners(int64_t frame) const;
  void remove_unseen();
  cv::Vec3d background(int x, int y, Random& noise) const;
  cv::Vec3d object_colour(const Object& object, const Pose& pose, int x, int y,
                          Random& noise) const;

  Size size_;
  uint64_t noise_key_ = 0;
  cv::Vec3d low_, high_;  // ends of the background's gradient
  double gradient_angle_ = 0, ripple_ = 0;
  std::vector<Object> objects_;
  std::vector<cv::Mat> owners_;  // of each frame
};

}  // namespace tessera::data
