// results.json through the scorer's readers, against a ground truth that is right.

#include "tests/fuzz/score_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tessera::fuzz::score_both_ways(tessera::fuzz::kGroundTruth, tessera::fuzz::text_of(data, size));
  return 0;
}
