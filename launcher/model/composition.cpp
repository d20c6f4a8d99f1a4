#include "launcher/model/composition.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace tessera {
namespace {

std::string part_text(const char* kind, const PluginChoice& choice) {
  return std::string(kind) + " '" + choice.name + "'";
}

class CompositionCheck {
 public:
  CompositionCheck(const ModelStage& stage, const StageSources& sources,
                   const std::vector<const ModelStage*>& earlier)
      : stage_(stage), sources_(sources), earlier_(earlier), reads_(stage.decoder().reads()) {}

  void run() const {
    check_tokens();
    check_earlier_stages();
    check_pixel_features();
    check_frames();
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    const PluginChoice& decoder = stage_.options().decoder;
    throw ConfigError(decoder.source.text() + ": " + part_text("decoder", decoder) + ": expected " +
                      expected);
  }

  void check_tokens() const {
    const PyramidSpec pyramid = sources_.backbone.spec();
    const std::string backbone = part_text("backbone", sources_.options.backbone);
    const bool has_prefix = std::any_of(pyramid.levels.begin(), pyramid.levels.end(),
                                        [](const LevelSpec& level) { return level.prefix > 0; });
    if (reads_.prefix && !has_prefix)
      fail("a backbone that gives prefix tokens, got " + backbone +
           ", which gives none. Use a backbone with a class token or registers.");
    if (reads_.rotation && !pyramid.has_rotation)
      fail("a backbone that gives the rotation of its position encoding, got " + backbone +
           ", which gives none.");
    if (reads_.memory && (reads_.prefix || reads_.rotation) && !sources_.encoder.passes_prefix())
      fail("an encoder that passes on prefix tokens and rotation, got " +
           part_text("encoder", sources_.options.encoder) + ", which does not.");
  }

  void check_earlier_stages() const {
    if (reads_.stages > static_cast<int64_t>(earlier_.size()))
      fail("at least " + std::to_string(reads_.stages) + " earlier stage(s), got " +
           std::to_string(earlier_.size()) +
           ". Put it into [[model.stages]] after the stages that it reads.");
    const auto expect_given = [this](bool is_read, bool QuerySpec::*gives, const char* member) {
      if (!is_read || (!earlier_.empty() && earlier_.back()->spec().*gives)) return;
      fail("an earlier stage that gives " + std::string(member) + ", got " + before_text() + ".");
    };
    expect_given(reads_.raw, &QuerySpec::gives_raw, "embeddings before their last norm (raw)");
    expect_given(reads_.anchor, &QuerySpec::gives_anchor, "the references of its rows (anchor)");
    expect_given(reads_.source, &QuerySpec::gives_source, "vectors of earlier rows (source)");
    if (reads_.identity && (earlier_.empty() || !earlier_.back()->instance_head().gives_identity()))
      fail("an earlier stage whose instance head gives identity embeddings, got " +
           (earlier_.empty()
                ? before_text()
                : part_text("instance_head", earlier_.back()->options().instance_head) +
                      " of the stage '" + earlier_.back()->name() + "', which gives none") +
           ".");
  }
  std::string before_text() const {
    if (earlier_.empty()) return "no earlier stage";
    return part_text("decoder", earlier_.back()->options().decoder) + " of the stage '" +
           earlier_.back()->name() + "', which does not";
  }

  void check_pixel_features() const {
    const QuerySpec& spec = stage_.spec();
    if (spec.pixel_channels > 0 && !stage_.mask_head().reads_layer_features())
      fail("a mask head that reads the pixel features of this decoder, got " +
           part_text("mask_head", stage_.options().mask_head) +
           ", which does not. Use \"dot_product\" with features = \"encoder\".");
  }

  void check_frames() const {
    const QuerySpec& spec = stage_.spec();
    if (stage_.is_apart()) {
      if (spec.keeps_state || spec.needs_video)
        fail(
            "model.frames = \"together\" beside a first decoder that keeps a state or needs a "
            "whole "
            "video, got \"apart\", with which it sees each frame by itself.");
      if (stage_.head_frames() != 1)
        fail("predictions of one frame with model.frames = \"apart\", got pieces of " +
             std::to_string(stage_.head_frames()) + " frames.");
    } else if (spec.piece_frames > 0 && sources_.num_frames % spec.piece_frames != 0) {
      fail("training clips of a multiple of " + std::to_string(spec.piece_frames) +
           " frames, which one of its predictions covers, got " +
           std::to_string(sources_.num_frames) + ". Set data.num_frames.");
    }
  }

  const ModelStage& stage_;
  const StageSources& sources_;
  const std::vector<const ModelStage*>& earlier_;
  StageReads reads_;
};

}  // namespace

void expect_composable(const ModelStage& stage, const StageSources& sources,
                       const std::vector<const ModelStage*>& earlier) {
  CompositionCheck(stage, sources, earlier).run();
}

void JoinedNeeds::add(const ClipNeeds& needs, const std::string& part, bool is_whole,
                      int64_t seen_frames) {
  joined_.size_divisor = std::lcm(joined_.size_divisor, needs.size_divisor);
  joined_.uses_padding_mask = joined_.uses_padding_mask || needs.uses_padding_mask;
  if (needs.fixed_frames == 0) return;
  if (!is_whole) {
    if (needs.fixed_frames != seen_frames)
      throw ConfigError("model: expected the " + part + " to work for " +
                        std::to_string(seen_frames) + " frame(s), which it sees at a time, got " +
                        "one that works for " + std::to_string(needs.fixed_frames) + ".");
    return;
  }
  if (joined_.fixed_frames > 0 && needs.fixed_frames != joined_.fixed_frames)
    throw ConfigError("model: expected parts that work for one clip length, got " +
                      std::to_string(joined_.fixed_frames) + " and, from the " + part + ", " +
                      std::to_string(needs.fixed_frames) + " frames.");
  joined_.fixed_frames = needs.fixed_frames;
}

}  // namespace tessera
