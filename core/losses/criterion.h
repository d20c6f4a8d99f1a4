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

  /// `mean_over_ranks` averages a tensor over all ranks (identity in one process), so that every
  /// normaliser is that of the total batch.
  CriterionResult forward(const Memory& memory, const Predictions& predictions,
                          const Targets& targets, const ForwardContext& context,
                          const std::function<at::Tensor(const at::Tensor&)>& mean_over_ranks = {});

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
                  const ForwardContext& context,
                  const std::function<at::Tensor(const at::Tensor&)>& mean_over_ranks);

  std::shared_ptr<Matcher> matcher_;
  std::vector<Term> terms_;
  std::vector<FeatureTerm> features_;
};

}  // namespace tessera
