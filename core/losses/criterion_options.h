#pragma once

#include <string>

#include "core/interfaces/build_context.h"
#include "core/interfaces/feature_loss.h"
#include "core/interfaces/loss.h"
#include "core/interfaces/matcher.h"

namespace tessera {

/// What the queries of one stage of the model are trained with.
struct StageLossOptions {
  PluginOf<Matcher> matcher{"sequence"};
  PluginMapOf<Loss> terms;
  std::string pieces = "joint";
  std::string view = "pieces";
  bool keep_absent = false;

  template <class Options>
  static void describe_stage(Schema<Options>& schema) {
    schema.field("matcher", &Options::matcher, "Assigns predictions to instances.");
    schema.field("terms", &Options::terms, "Loss terms by the name that logs show.");
    schema
        .field("pieces", &Options::pieces,
               "If the stage predicts for pieces of a clip: joint normalises the losses of all "
               "pieces together; summed normalises each piece of the clips by itself and adds the "
               "losses.")
        .one_of({"joint", "summed"});
    schema
        .field("view", &Options::view,
               "What is matched and compared: the frames as they are, or the frames of a piece one "
               "below the other as one tall image.")
        .one_of({"pieces", "stacked"});
    schema.field("keep_absent", &Options::keep_absent,
                 "If the stage predicts for pieces of a clip: keep instances that are in none of a "
                 "piece's frames.");
  }
};

/// `[loss.stages.<name>]`: a further stage of the model.
struct TESSERA_API FurtherStageLossOptions : StageLossOptions {
  std::string guide;
  double guide_until = 0;

  static void describe(Schema<FurtherStageLossOptions>& schema);
};

/// `[loss]`: `[loss.terms.<name>]` on decoder layers of the model's first stage,
/// `[loss.features.<name>]` on the memory.
struct TESSERA_API CriterionOptions : StageLossOptions {
  PluginMapOf<FeatureLoss> features;
  TableOf<FurtherStageLossOptions> stages;

  static void describe(Schema<CriterionOptions>& schema);
};

}  // namespace tessera
