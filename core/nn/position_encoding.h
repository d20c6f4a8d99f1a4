#pragma once

#include <ATen/core/Tensor.h>

#include "core/config/schema.h"
#include "core/export.h"

namespace tessera {

/// The sine position encoding of DETR (Carion et al. 2020, A.4) and its variants, as options.
struct PositionOptions {
  std::string kind = "3d";       // none; 2d: y, x (D/2 each); 3d: t, y, x (D/3 each);
                                 // 3d_added: 2d plus a D-wide t (Mask2Former-VIS)
  double first = 1.0;            // what the first cell counts: 1, or 0.5 for cell centres
  std::string divisor = "last";  // what counts are divided by: the last cell's, or the number of
                                 // cells (Deformable DETR)
  bool use_padding_mask = true;  // count only unpadded cells
  double temperature = 10000.0;

  static void describe(Schema<PositionOptions>& schema) {
    schema.field("kind", &PositionOptions::kind, "Axes that are encoded.")
        .one_of({"none", "2d", "3d", "3d_added"});
    schema.field("first", &PositionOptions::first, "Count of the first cell (0.5 = cell centres).");
    schema
        .field("divisor", &PositionOptions::divisor,
               "Counts are divided by the last cell's count, or by the number of cells, with which "
               "first = 0.5 gives exact centres (Deformable DETR).")
        .one_of({"last", "cells"});
    schema.field("use_padding_mask", &PositionOptions::use_padding_mask,
                 "Count unpadded cells only.");
    schema.field("temperature", &PositionOptions::temperature, "Base of the wavelengths.")
        .more_than(1);
  }
};

/// in: padding_mask [B,T,h,w] bool, `dim` D divisible by what the kind needs, dtype of the
/// result, which is float32 where that is a half type.
/// out: [B,T,h,w,D], or an undefined tensor for kind "none". Throws ConfigError for a width that
/// does not divide.
TESSERA_API at::Tensor position_encoding(const at::Tensor& padding_mask, int64_t dim,
                                         const PositionOptions& options, at::ScalarType dtype);

}  // namespace tessera
