#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/structures/clip.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/data/sample_order.h"

namespace tessera::data {

struct TrainingBatch {
  ClipBatch batch;
  Targets targets;
  int64_t epoch = 0;                    // of the batch's first sample
  std::vector<int64_t> sample_indices;  // [B]
};

struct LoaderOptions {
  int64_t batch_size = 1;  // clips of one process
  uint64_t seed = 0;
  /// Samples that all processes together have consumed; where to go on after a restart.
  int64_t position = 0;
  int64_t size_divisor = 1;  // ClipNeeds::size_divisor of the model
  int64_t rank = 0;
  int64_t num_ranks = 1;
  int64_t workers = 0;  // data.workers
};

/// Gives the batches of one process in the order of SampleOrder, prepared in the background.
/// Step n of rank r takes the positions from `position + (n * num_ranks + r) * batch_size`; batches
/// go on over the end of an epoch, so that every sample counts. The batches are the same bit for
/// bit whatever the number of workers.
class ClipLoader {
 public:
  /// Throws RuntimeError for counts out of range.
  ClipLoader(std::shared_ptr<const ClipDataset> dataset, const LoaderOptions& options);
  ~ClipLoader();
  ClipLoader(const ClipLoader&) = delete;
  ClipLoader& operator=(const ClipLoader&) = delete;

  /// The next batch; waits for it. Throws what went wrong while it was made; calling again throws
  /// the same.
  TrainingBatch next();

  /// `LoaderOptions::position` of a loader that goes on after the batches given so far.
  int64_t position() const;

 private:
  using Places = std::vector<SampleOrder::Place>;
  struct Outcome {
    TrainingBatch batch;
    std::exception_ptr error;
  };

  Places places_of(int64_t step);
  TrainingBatch make(const Places& places) const;
  void work();

  const std::shared_ptr<const ClipDataset> dataset_;
  const LoaderOptions options_;
  SampleOrder order_;

  std::mutex mutex_;  // guards everything below, and order_
  std::condition_variable room_;
  std::condition_variable ready_;
  std::map<int64_t, Outcome> done_;  // by step
  int64_t next_to_make_ = 0;
  int64_t next_to_give_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tessera::data
