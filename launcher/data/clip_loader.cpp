#include "launcher/data/clip_loader.h"

#include <string>
#include <utility>

#include "core/error.h"
#include "launcher/data/clip_targets.h"
#include "launcher/data/frame_tensor.h"

namespace tessera::data {
namespace {

LoaderOptions checked(const LoaderOptions& options) {
  const auto at_least = [](int64_t value, int64_t low, const char* name) {
    if (value < low)
      throw RuntimeError(std::string("clip loader: ") + name + ": expected at least " +
                         std::to_string(low) + ", got " + std::to_string(value) + ".");
  };
  at_least(options.batch_size, 1, "batch_size");
  at_least(options.size_divisor, 1, "size_divisor");
  at_least(options.position, 0, "position");
  at_least(options.workers, 0, "workers");
  at_least(options.rank, 0, "rank");
  at_least(options.num_ranks, options.rank + 1, "num_ranks");
  return options;
}

}  // namespace

ClipLoader::ClipLoader(std::shared_ptr<const ClipDataset> dataset, const LoaderOptions& options)
    : dataset_(std::move(dataset)),
      options_(checked(options)),
      order_(options.seed, dataset_->size()) {
  for (int64_t i = 0; i < options_.workers; ++i) threads_.emplace_back([this] { work(); });
}

ClipLoader::~ClipLoader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  room_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

int64_t ClipLoader::position() const {
  return options_.position + next_to_give_ * options_.num_ranks * options_.batch_size;
}

TrainingBatch ClipLoader::next() {
  if (threads_.empty()) {
    TrainingBatch batch = make(places_of(next_to_give_));
    ++next_to_give_;
    return batch;
  }
  std::unique_lock lock(mutex_);
  ready_.wait(lock, [this] { return done_.contains(next_to_give_); });
  const auto found = done_.find(next_to_give_);
  if (found->second.error) std::rethrow_exception(found->second.error);
  TrainingBatch batch = std::move(found->second.batch);
  done_.erase(found);
  ++next_to_give_;
  room_.notify_all();
  return batch;
}

ClipLoader::Places ClipLoader::places_of(int64_t step) {
  const int64_t first =
      options_.position + (step * options_.num_ranks + options_.rank) * options_.batch_size;
  Places places;
  for (int64_t i = 0; i < options_.batch_size; ++i) places.push_back(order_.at(first + i));
  return places;
}

void ClipLoader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    // One batch waits while each worker makes another: memory stays bounded.
    room_.wait(
        lock, [this] { return stopping_ || next_to_make_ < next_to_give_ + options_.workers + 1; });
    if (stopping_) return;
    const int64_t step = next_to_make_++;
    const Places places = places_of(step);
    lock.unlock();
    Outcome outcome;
    try {
      outcome.batch = make(places);
    } catch (...) {
      outcome.error = std::current_exception();
    }
    lock.lock();
    done_.emplace(step, std::move(outcome));
    ready_.notify_all();
  }
}

TrainingBatch ClipLoader::make(const Places& places) const {
  TrainingBatch result;
  result.epoch = places.front().epoch;
  std::vector<at::Tensor> clips;
  std::vector<ClipMeta> meta;
  for (const auto& [epoch, sample] : places) {
    ClipSample clip = dataset_->load(sample, options_.seed, epoch);
    clips.push_back(std::move(clip.frames));
    meta.push_back(std::move(clip.meta));
    result.targets.push_back(std::move(clip.targets));
    result.sample_indices.push_back(sample);
  }
  result.batch = batch_frames(clips, std::move(meta), options_.size_divisor);
  set_colour_scale(result.batch, dataset_->normalise());
  for (ClipTargets& targets : result.targets)
    pad_masks(targets, result.batch.frames.size(3), result.batch.frames.size(4));
  return result;
}

}  // namespace tessera::data
