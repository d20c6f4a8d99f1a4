#pragma once

#include <string>
#include <vector>

#include "core/interfaces/auxiliary.h"
#include "core/interfaces/build_context.h"
#include "core/interfaces/feature_loss.h"
#include "core/interfaces/loss.h"
#include "core/interfaces/matcher.h"

namespace tessera {

/// `[loss]`: `[loss.terms.<name>]` on decoder layers, `[loss.features.<name>]` on the memory.
struct TESSERA_API CriterionOptions {
  PluginOf<Matcher> matcher{"sequence"};
  PluginMapOf<Loss> terms;
  PluginMapOf<FeatureLoss> features;

  static void describe(Schema<CriterionOptions>& schema);
};

/// Options that every loss term has; a term's Options derive from it.
struct LossTermOptions {
  double weight = 1.0;
  std::string layers = "all";

  template <class Options>
  static void describe_term(Schema<Options>& schema) {
    schema.field("weight", &Options::weight, "Factor of this term; 0 only reports it.").at_least(0);
    schema.field("layers", &Options::layers, "Decoder layers that have this term.")
        .one_of({"all", "last"});
  }
};

/// Options that every feature loss has; its Options derive from it.
struct FeatureLossOptions {
  double weight = 1.0;

  template <class Options>
  static void describe_term(Schema<Options>& schema) {
    schema.field("weight", &Options::weight, "Factor of this term; 0 only reports it.").at_least(0);
  }
};

struct CriterionResult {
  at::Tensor total;              // scalar: weighted sum
  std::vector<NamedLoss> terms;  // "<term>" of the last layer, "<term>_<i>" of layer i before
                                 // it; feature losses come last
  std::vector<Matches> matches;  // per layer
};

/// Matches every layer and sums the terms over layers, then adds the feature losses. A model
/// without decoder layers (pre-training of a backbone) has feature losses only.
class TESSERA_API Criterion : public Part {
 public:
  Criterion(const CriterionOptions& options, const BuildContext& context);

  /// `targets` are the whole batch.
  CriterionResult forward(const Memory& memory, const Predictions& predictions,
                          const Targets& targets, const ForwardContext& context);
  /// `targets` are a piece of the batch `whole`, whose counts and mean every loss is normalised by.
  CriterionResult forward(const Memory& memory, const Predictions& predictions,
                          const Targets& targets, const ForwardContext& context,
                          const WholeBatch& whole);
  /// Whether losses are normalised by numbers that only the predictions for a batch with these
  /// counts give. WholeBatch::mean must then know the numbers of all parts.
  bool needs_predictions_of_batch(const BatchCounts& counts) const;

 private:
  struct Term {
    std::string name;
    std::shared_ptr<Loss> loss;
    double weight;
    bool last_layer_only;
  };
  struct FeatureTerm {
    std::string name;
    std::shared_ptr<FeatureLoss> loss;
    double weight;
  };
  void add_layers(CriterionResult& result, const Predictions& predictions, const Targets& targets,
                  const ForwardContext& context, const WholeBatch& whole);
  bool knows_matched_pairs(const BatchCounts& counts) const;

  int64_t num_queries_;
  std::shared_ptr<Matcher> matcher_;
  std::vector<Term> terms_;
  std::vector<FeatureTerm> features_;
};

}  // namespace tessera
