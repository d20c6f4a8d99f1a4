#pragma once

#include <string>

#include "core/config/schema.h"

namespace tessera {

/// Options that every loss term has; a term's Options derive from it.
struct LossTermOptions {
  double weight = 1.0;
  std::string layers = "all";

  /// A term's describe() calls it: so the criterion can read these two of any term's options.
  template <class Options>
  static void describe_term(Schema<Options>& schema) {
    schema.template base<LossTermOptions>();
    schema.field("weight", &Options::weight, "Factor of this term; 0 only reports it.").at_least(0);
    schema.field("layers", &Options::layers, "Decoder layers that have this term.")
        .one_of({"all", "last"});
  }
};

/// Options that every feature loss has; its Options derive from it.
struct FeatureLossOptions {
  double weight = 1.0;

  /// As LossTermOptions::describe_term().
  template <class Options>
  static void describe_term(Schema<Options>& schema) {
    schema.template base<FeatureLossOptions>();
    schema.field("weight", &Options::weight, "Factor of this term; 0 only reports it.").at_least(0);
  }
};

}  // namespace tessera
