#include <ATen/ATen.h>

#include "launcher/contract/run_parts.h"

namespace tessera::contract {

std::vector<at::Tensor> run_linker(Linker& part, int64_t frames, Numbers& numbers) {
  WindowTracks before;
  before.embeddings = numbers.normal({kQueries, kDim});
  before.class_probabilities = numbers.uniform({kQueries, kCategories});
  before.mask_logits = numbers.normal({kQueries, frames, 16, 24});
  WindowTracks next = before;  // the same tracks in reverse order must be found again
  next.embeddings = before.embeddings.flip(0);
  next.class_probabilities = before.class_probabilities.flip(0);
  next.mask_logits = before.mask_logits.flip(0);
  auto check_linked = [&](int64_t overlap, const std::string& what) {
    check(at::equal(part.link(before, next, overlap), at::arange(kQueries).flip(0)),
          "tracks in reverse order to be joined in reverse order " + what);
  };
  check_linked(frames, "where windows share all frames");
  const int64_t needed = part.needed_overlap();
  check(needed >= 0 && needed <= frames,
        "needed_overlap() of 0 to " + std::to_string(frames) + " frames");
  next.first_frame = frames - needed;
  next.mask_logits = at::cat({next.mask_logits.narrow(1, frames - needed, needed),
                              numbers.normal({kQueries, frames - needed, 16, 24})},
                             1);
  check_linked(needed, "where windows share needed_overlap() frames");
  next.first_frame = 0;
  next.mask_logits = before.mask_logits.flip(0);
  return {part.cost(before, next, frames)};
}

}  // namespace tessera::contract
