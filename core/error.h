#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/export.h"

namespace tessera {

/// Base of every error that Tessera throws. `what()` is one or more whole sentences of the form
/// "<where>: expected <X>, got <Y>. <known names or next step>". Caught in main only.
class TESSERA_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The experiment file, an override or the command line is wrong (exit code 2).
class TESSERA_API ConfigError : public Error {
 public:
  using Error::Error;
};

/// A plugin is missing, broken, of another ABI, or there twice (exit code 3).
class TESSERA_API PluginError : public Error {
 public:
  using Error::Error;
};

/// A data set, annotation, image, weight or result file is wrong (exit code 4).
class TESSERA_API DataError : public Error {
 public:
  using Error::Error;
};

/// Something failed while running: a shape, a device, a full disk, a loss of NaN (exit code 5).
class TESSERA_API RuntimeError : public Error {
 public:
  using Error::Error;
};

/// A tensor has another shape than its contract says.
class TESSERA_API ShapeError : public RuntimeError {
 public:
  using RuntimeError::RuntimeError;
};

/// The name in `known` nearest to `name` by edit distance, or "" where none is near.
TESSERA_API std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

/// "a, b, c", or "none" for an empty list.
TESSERA_API std::string join(const std::vector<std::string>& parts,
                             std::string_view separator = ", ");

/// " Did you mean 'x'? Known: a, b, c." for the end of an error about an unknown name.
TESSERA_API std::string suggestion(std::string_view name, const std::vector<std::string>& known);

}  // namespace tessera
