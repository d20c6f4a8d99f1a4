#pragma once

#include <string>

#include "core/interfaces/build_context.h"
#include "core/interfaces/loss.h"
#include "core/losses/criterion.h"

namespace tessera::losses {

/// Which count a term is divided by; the counts stand in LossInput.
struct Normalised : LossTermOptions {
  std::string normaliser = "instance_frames";

  template <class Options>
  static void describe_normalised(Schema<Options>& schema) {
    describe_term(schema);
    schema
        .field(
            "normaliser", &Options::normaliser,
            "instances; instance_frames: times frames, absent ones too; valid_frames: only where "
            "the instance is there.")
        .one_of({"instances", "instance_frames", "valid_frames"});
  }
  double divisor(const LossInput& input) const {
    if (normaliser == "instances") return input.num_instances;
    return normaliser == "valid_frames" ? input.num_valid_frames : input.num_instance_frames;
  }
};

/// The trained (pair, frame) entries of one clip, flattened.
struct MatchedFrames {
  at::Tensor prediction, target, frame;  // [n] int64 each
};
MatchedFrames matched_frames(const ClipMatch& match);

}  // namespace tessera::losses
