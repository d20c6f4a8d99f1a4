#pragma once
// Legend of the letters in every shape comment and check:
//   B clips, T frames, C channels, H W pixels, h w cells of a feature level, Q object queries,
//   N ground-truth instances, K classes without no-object, L levels, S cells of all levels of a
//   frame, P points, D model width, M heads. T is always an axis; an image is T = 1.

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/export.h"

namespace tessera {

/// Sizes that letters stood for so far; share one between the checks of one call.
using ShapeBinding = std::map<char, int64_t>;

/// Checks `tensor` against a pattern such as "[B,T,3,H,W]": numbers must be equal, a letter must
/// stand for the same size wherever `binding` saw it, "*" is any size.
/// Throws ShapeError naming `name`, the pattern and the shape found.
TESSERA_API void expect_shape(const at::Tensor& tensor, std::string_view pattern,
                              std::string_view name, ShapeBinding& binding);
TESSERA_API void expect_shape(const at::Tensor& tensor, std::string_view pattern,
                              std::string_view name);

/// "[2, 3, 4]".
TESSERA_API std::string shape_text(at::IntArrayRef shape);

}  // namespace tessera
