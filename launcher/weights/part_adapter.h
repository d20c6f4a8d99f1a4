#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "launcher/model/vis_model.h"
#include "launcher/weights/safetensors.h"

namespace tessera {

/// Lets the parts of a model change the tensors of a weight file, see Part::adapt_weights().
class PartAdapter {
 public:
  /// `style`: of the names that adapt() is given.
  PartAdapter(const VisModel& model, NameStyle style);

  /// Gives each part the tensors that have its prefix among the composed names (backbone.*,
  /// stages.<name>.decoder.*), a part before the parts in it. Names that the model does not have
  /// are taken for composed ones. out: what was changed, a text for each tensor. Throws what a part
  /// throws, PluginError naming it where that is no Error.
  std::vector<std::string> adapt(TensorList& tensors) const;

 private:
  std::string composed(const std::string& name) const;

  std::vector<std::pair<std::string, std::shared_ptr<Part>>> parts_;  // prefix with its dot
  std::map<std::string, std::string> composed_, given_;               // of the model's names
};

}  // namespace tessera
