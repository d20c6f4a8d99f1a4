#include "launcher/training/auxiliary_options.h"

namespace tessera {

void AuxiliaryOptions::describe(Schema<AuxiliaryOptions>& schema) {
  using Options = AuxiliaryOptions;
  schema.field("name", &Options::name, "What logs and checkpoints call it.").required();
  schema.field("network", &Options::network, "The network and its losses.").required();
  schema.field("optimiser", &Options::optimiser, "How its steps are made of its gradients.");
  schema.field("schedule", &Options::schedule,
               "Factor on its learning rate over time; without it the model's, train.schedule.");
  schema
      .field("clip_gradients", &Options::clip_gradients,
             "Largest 2-norm of all its gradients together; 0 does not clip.")
      .at_least(0);
  schema.validate([](const Options& options) {
    if (options.name.empty() || options.name.find('.') != std::string::npos)
      throw ConfigError("name: expected a name without dots, got '" + options.name + "'.");
  });
}

}  // namespace tessera
