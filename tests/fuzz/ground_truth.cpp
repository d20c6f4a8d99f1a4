// A YouTube-VIS annotation file through the scorer's readers, with results that are right.

#include "tests/fuzz/score_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tessera::fuzz::score_both_ways(tessera::fuzz::text_of(data, size), tessera::fuzz::kResults);
  return 0;
}
