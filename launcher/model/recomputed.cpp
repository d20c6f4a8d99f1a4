#include "launcher/model/recomputed.h"

#include "core/error.h"

namespace tessera {

Recomputed Recomputed::parts(const std::vector<std::string>& names, int64_t mask_rows) {
  Recomputed what;
  what.mask_rows = mask_rows;
  for (const std::string& name : names) {
    if (name == "backbone")
      what.backbone = true;
    else if (name == "encoder")
      what.encoder = true;
    else if (name == "decoder")
      what.decoder = true;
    else if (name == "masks")
      what.masks = true;
    else
      throw ConfigError(
          "train.recompute: expected parts of backbone, encoder, decoder and masks, got '" + name +
          "'." + suggestion(name, {"backbone", "encoder", "decoder", "masks"}));
  }
  return what;
}

}  // namespace tessera
