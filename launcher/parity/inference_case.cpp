// Cases of what comes after the model: stored predictions in, tracks out.

#include <ATen/ATen.h>

#include "core/error.h"
#include "launcher/experiment.h"
#include "launcher/inference/select_tracks.h"
#include "launcher/parity/model_case.h"
#include "launcher/parity/sources.h"

namespace tessera::parity {
namespace {

/// `config.padded_size`, `.image_size`, `.output_size`: (height, width) each.
FrameGeometry geometry_of(const Case& c) {
  auto size = [&](const char* key, size_t axis) {
    try {
      return c.config.at(key).at(axis).get<int64_t>();
    } catch (const nlohmann::json::exception&) {
      throw DataError((c.folder / "case.json").string() + ": config." + key +
                      ": expected [height, width], got something else.");
    }
  };
  return {size("padded_size", 0), size("padded_size", 1), size("image_size", 0),
          size("image_size", 1),  size("output_size", 0), size("output_size", 1)};
}

}  // namespace

std::vector<Comparison> check_inference_case(const Case& c, const Table& table,
                                             Registry& registry) {
  const Experiment experiment = load_experiment(table.experiment, overrides_of(c, table), registry);
  const at::Tensor& logits = c.input("pred_logits");  // [1,Q,C]
  const at::Tensor& masks = c.input("pred_masks");    // [1,Q,T,h,w]
  const ClassLogits classes{logits, ClassScope::clip, ClassActivation::softmax_no_object, 0};
  const at::Tensor probabilities =
      classes.probabilities().expand({masks.size(2), -1, -1});  // [T,Q,K]
  const SelectedTracks tracks =
      experiment.inference.select == "slot"
          ? select_slots(sum_frames(probabilities, probabilities))
          : select_top_k(probabilities.mean(0), experiment.inference.top_k);
  std::map<std::string, Sources> variants;
  Sources& sources = variants[""];
  sources["tracks.rows"] = tracks.rows;
  sources["tracks.category"] = tracks.category;
  sources["tracks.score"] = tracks.score;
  sources["tracks.masks"] =
      resize_mask_logits(masks[0].index_select(0, tracks.rows), geometry_of(c)).sigmoid() >
      experiment.inference.mask_threshold;
  return compare_outputs(c, table, variants);
}

}  // namespace tessera::parity
