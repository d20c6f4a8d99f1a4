#include "launcher/data/sample_order.h"

#include <numeric>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/structures/random.h"

namespace tessera::data {
namespace {

constexpr uint64_t kOrderStream = 1;  // apart from the streams of clip_dataset.cpp

}  // namespace

SampleOrder::SampleOrder(uint64_t seed, int64_t size) : seed_(seed), size_(size) {
  if (size < 1)
    throw RuntimeError("sample order: expected at least one sample, got " + std::to_string(size) +
                       ".");
}

std::vector<int64_t> SampleOrder::epoch(int64_t epoch) const {
  std::vector<int64_t> order(static_cast<size_t>(size_));
  std::iota(order.begin(), order.end(), 0);
  Random random({seed_, kOrderStream, static_cast<uint64_t>(epoch)});
  for (int64_t i = size_ - 1; i > 0; --i)
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.integer(0, i))]);
  return order;
}

SampleOrder::Place SampleOrder::at(int64_t position) {
  if (position < 0)
    throw RuntimeError("sample order: expected a position >= 0, got " + std::to_string(position) +
                       ".");
  const int64_t wanted = position / size_;
  if (wanted != kept_epoch_) {
    kept_ = epoch(wanted);
    kept_epoch_ = wanted;
  }
  return {wanted, kept_[static_cast<size_t>(position % size_)]};
}

}  // namespace tessera::data
