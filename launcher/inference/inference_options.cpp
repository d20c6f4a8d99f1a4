#include "launcher/inference/inference_options.h"

#include "core/error.h"
#include "core/interfaces/build_context.h"
#include "launcher/model/autocast.h"

namespace tessera {
namespace {

constexpr const char* kLinked = "linked";  // the tracker that runs [inference.linker]

// A model with a fixed clip length has windows of that length beside window = "all": those are
// checked where the model is known (WindowPlan).
void check_windows(const InferenceOptions& options) {
  if (options.window.is_all()) return;
  if (options.overlap >= options.window.frames)
    throw ConfigError("overlap: expected fewer than the window's " + options.window.text() +
                      " frames, got " + std::to_string(options.overlap) + ".");
  // Without plugins only the schema is read. Other trackers are checked where the model is known.
  if (!options.linker.descriptor || options.tracker.name != kLinked) return;
  const int64_t needed = BuildContext().make(options.linker)->needed_overlap();
  if (options.overlap < needed)
    throw ConfigError("overlap: expected at least " + std::to_string(needed) +
                      ", because the linker " + options.linker.name +
                      " compares tracks on the frames that neighbouring windows share, got " +
                      std::to_string(options.overlap) +
                      ". Set inference.overlap, another linker, or window = \"all\".");
}

void check_scores(const InferenceOptions& options) {
  if (options.select == "slot" && options.average != "probabilities")
    throw ConfigError(
        "average: expected \"probabilities\" beside select = \"slot\", which takes the best "
        "class of each frame, got \"" +
        options.average + "\". Set select = \"top_k\".");
  if (options.select == "slot" && !options.scores.empty())
    throw ConfigError(
        "scores: expected none beside select = \"slot\", which takes the best class of each "
        "frame, got " +
        std::to_string(options.scores.size()) + ". Set select = \"top_k\".");
  if (options.scores.size() > 1 && options.combine == "last")
    throw ConfigError("scores: expected one stage beside combine = \"last\", got " +
                      std::to_string(options.scores.size()) +
                      ". Set combine = \"maximum\", or one stage.");
}

std::vector<std::string> averages() {
  return {"probabilities", "logits", "maximum"};
}

}  // namespace

void StageScore::describe(Schema<StageScore>& schema) {
  schema.field("stage", &StageScore::stage, "A stage of the model; the first is segmenter.")
      .required();
  schema
      .field("average", &StageScore::average,
             "How the stage's classes of a track's frames become one: as inference.average.")
      .one_of(averages());
}

void InferenceOptions::expect_one_joiner() {
  if (tracker.name == kLinked) return;
  if (linker.source.file != Source().file)
    throw ConfigError(linker.source.text() + ": inference.linker: expected no linker beside the " +
                      "tracker " + tracker.name + ", got " + linker.name +
                      ". Remove inference.linker, or set inference.tracker = \"linked\".");
  linker = {};
}

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
             "the tracker needs. 0 with a decoder that keeps a state.")
      .at_least(0);
  schema
      .field(
          "backbone_frames", &InferenceOptions::backbone_frames,
          "Frames that are read and go through the backbone at once; windows of fewer frames are "
          "seen several at a time. Memory against speed, the same tracks.")
      .at_least(1);
  schema.field("tracker", &InferenceOptions::tracker,
               "Gives the rows of each window their tracks. linked: inference.linker compares "
               "neighbouring windows; row: every query is one track.");
  schema.field("linker", &InferenceOptions::linker,
               "Compares the tracks of neighbouring windows, for the tracker linked.");
  schema
      .field("merge", &InferenceOptions::merge,
             "What several windows say of the same frame: first: the masks of the first, and its "
             "classes; mean: the mean of their mask logits, and of all windows' classes (IFC).")
      .one_of({"first", "mean"});
  schema
      .field("keep", &InferenceOptions::keep,
             "Queries of a window that the tracker gets: all; or foreground: those whose most "
             "probable "
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
             "What top_k and threshold take from a track's frames: the mean of their "
             "probabilities, the mean of their logits (MinVIS), or the maximum of their "
             "probabilities (GenVIS).")
      .one_of(averages());
  schema.field("scores", &InferenceOptions::scores,
               "Stages of the model whose classes count for the scores; by default the last one, "
               "with inference.average.");
  schema
      .field("combine", &InferenceOptions::combine,
             "last: the scores of one stage; maximum: the largest probability of each class over "
             "the stages of inference.scores (DVIS).")
      .one_of({"last", "maximum"});
  schema
      .field("mask_quality", &InferenceOptions::mask_quality,
             "What the score of a selected track is multiplied by. none: nothing; padded, output: "
             "the mean probability of its masks' pixels, over all frames, at the size of the "
             "model's input (VITA) or of the video (CTVIS).")
      .one_of({"none", "padded", "output"});
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
    check_scores(options);
    check_windows(options);
  });
}

}  // namespace tessera
