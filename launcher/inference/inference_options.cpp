#include "launcher/inference/inference_options.h"

#include "core/error.h"
#include "core/interfaces/build_context.h"
#include "launcher/model/autocast.h"

namespace tessera {
namespace {

// A model with a fixed clip length has windows of that length beside window = "all": those are
// checked where the model is known (WindowPlan).
void check_windows(const InferenceOptions& options) {
  if (options.window.is_all()) return;
  if (options.overlap >= options.window.frames)
    throw ConfigError("overlap: expected fewer than the window's " + options.window.text() +
                      " frames, got " + std::to_string(options.overlap) + ".");
  if (!options.linker.descriptor) return;  // the schema alone, without plugins
  const int64_t needed = BuildContext().make(options.linker)->needed_overlap();
  if (options.overlap < needed)
    throw ConfigError("overlap: expected at least " + std::to_string(needed) +
                      ", because the linker " + options.linker.name +
                      " compares tracks on the frames that neighbouring windows share, got " +
                      std::to_string(options.overlap) +
                      ". Set inference.overlap, another linker, or window = \"all\".");
}

}  // namespace

void InferenceOptions::describe(Schema<InferenceOptions>& schema) {
  schema.field("frames", &InferenceOptions::frames,
               "Frames of every video that the model is shown, from the first on; \"all\" but for "
               "experiments on how much one frame says.");
  schema
      .field("fill", &InferenceOptions::fill,
             "With a number of frames, what the results say of those after them: repeat: the last "
             "mask; none: nothing, the lists are short (which only tessera score --compatible "
             "takes, as the reference does).")
      .one_of({"repeat", "none"});
  schema.field("window", &InferenceOptions::window,
               "Frames that the model sees at once; a model with a fixed clip length uses that.");
  schema
      .field("overlap", &InferenceOptions::overlap,
             "Frames that neighbouring windows share; fewer than window, and at least as many as "
             "the linker needs.")
      .at_least(0);
  schema
      .field(
          "backbone_frames", &InferenceOptions::backbone_frames,
          "Frames that are read and go through the backbone at once; windows of fewer frames are "
          "seen several at a time. Memory against speed, the same tracks.")
      .at_least(1);
  schema.field("linker", &InferenceOptions::linker, "Joins the tracks of neighbouring windows.");
  schema
      .field("merge", &InferenceOptions::merge,
             "What several windows say of the same frame: first: the masks of the first, and its "
             "classes; mean: the mean of their mask logits, and of all windows' classes (IFC).")
      .one_of({"first", "mean"});
  schema
      .field("keep", &InferenceOptions::keep,
             "Queries of a window that are linked: all; or foreground: those whose most probable "
             "class is not \"no object\" (IFC).")
      .one_of({"all", "foreground"});
  schema
      .field("select", &InferenceOptions::select,
             "slot: every query is one track with one class (VisTR); top_k: the best (query, "
             "class) pairs; threshold: every pair above score_threshold (IFC).")
      .one_of({"slot", "top_k", "threshold"});
  schema.field("top_k", &InferenceOptions::top_k, "Tracks kept with select = \"top_k\".")
      .at_least(1);
  schema
      .field("score_threshold", &InferenceOptions::score_threshold,
             "Probability above which a (query, class) pair is a track with select = "
             "\"threshold\".")
      .between(0, 1);
  schema
      .field("average", &InferenceOptions::average,
             "What top_k and threshold average over a track's frames: probabilities, or logits "
             "(MinVIS).")
      .one_of({"probabilities", "logits"});
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
  schema
      .field("autocast", &InferenceOptions::autocast,
             "bfloat16: products, convolutions and attention of the model in that type (torch's "
             "autocast); what is said of tracks stays float32.")
      .one_of(autocast_names());
  schema.validate([](const InferenceOptions& options) {
    if (options.select == "slot" && options.average == "logits")
      throw ConfigError(
          "average: expected \"probabilities\" beside select = \"slot\", which takes the best "
          "class of each frame, got \"logits\". Set select = \"top_k\".");
    check_windows(options);
  });
}

}  // namespace tessera
