#include "launcher/evaluation/ranges.h"

namespace tessera::evaluation {
namespace {

constexpr double kSmallArea = 128. * 128.;  // square pixels
constexpr double kLargeArea = 256. * 256.;
constexpr double kLargestArea = 1e10;

}  // namespace

std::vector<Range> ranges_of(Protocol protocol) {
  std::vector<Range> ranges = {{0, kLargestArea, 0, 1},
                               {0, kSmallArea, 0, 1},
                               {kSmallArea, kLargeArea, 0, 1},
                               {kLargeArea, kLargestArea, 0, 1}};
  if (protocol == Protocol::kOvis) {
    ranges.push_back({0, kLargestArea, 0, .25});
    ranges.push_back({0, kLargestArea, .25, .5});
    ranges.push_back({0, kLargestArea, .5, 1});
  }
  return ranges;
}

}  // namespace tessera::evaluation
