#include "launcher/inference/inference_options.h"

namespace tessera {

void InferenceOptions::describe(Schema<InferenceOptions>& schema) {
  schema.field("window", &InferenceOptions::window,
               "Frames that the model sees at once; a model with a fixed clip length uses that.");
  schema.field("overlap", &InferenceOptions::overlap, "Frames that neighbouring windows share.")
      .at_least(0);
  schema.field("linker", &InferenceOptions::linker, "Joins the tracks of neighbouring windows.");
  schema
      .field("select", &InferenceOptions::select,
             "slot: every query is one track with one class (VisTR); top_k: the best (query, "
             "class) pairs.")
      .one_of({"slot", "top_k"});
  schema.field("top_k", &InferenceOptions::top_k, "Tracks kept with select = \"top_k\".")
      .at_least(1);
  schema
      .field("short_side", &InferenceOptions::short_side,
             "Shorter side that frames are resized to, pixels.")
      .at_least(1);
  schema.field("max_side", &InferenceOptions::max_side, "Limit of the longer side, pixels.")
      .at_least(1);
  schema
      .field("mask_threshold", &InferenceOptions::mask_threshold,
             "Probability above which a pixel is in.")
      .between(0, 1);
  schema
      .field("frame_score_threshold", &InferenceOptions::frame_score_threshold,
             "A track gets no mask in a frame where its own score is lower.")
      .between(0, 1);
}

}  // namespace tessera
