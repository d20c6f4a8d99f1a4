#include "core/interfaces/sampler.h"

namespace tessera {

std::vector<int64_t> Sampler::samples(const SampledVideo&) const {
  return {0};
}

int64_t Sampler::clip_length(int64_t, int64_t num_frames) const {
  return num_frames;
}

int64_t Sampler::span(int64_t num_frames) const {
  return num_frames;
}

}  // namespace tessera
