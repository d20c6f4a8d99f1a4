#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/model/vis_model.h"
#include "launcher/weights/safetensors.h"
#include "launcher/weights/weights_options.h"

namespace tessera {

/// What became of a file's and a model's tensors.
struct LoadReport {
  std::vector<std::string> loaded;           // names in the model
  std::vector<std::string> fresh;            // names in the model that `skip` left initialised
  std::vector<std::string> ignored;          // keys of the file that `ignore` or `skip` dropped
  std::vector<std::string> outside_prefix;   // keys of the file without the prefix
  std::vector<std::string> unused_patterns;  // rules that matched nothing

  /// "loaded 412 tensors; freshly initialised on purpose: a, b; ..." for the log.
  std::string text() const;
};

/// Copies a file's tensors into the model's, by the rules of `options`. Floating-point types are
/// converted. Throws DataError that lists every missing, unexpected, clashing and wrongly shaped
/// tensor; the model is untouched then.
LoadReport load_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                        const WeightsOptions& options);
/// The same from a file that is read already; `where` names it in errors.
LoadReport load_weights(const std::vector<NamedTensor>& model, const SafetensorsFile& content,
                        const std::string& where, const WeightsOptions& options);
LoadReport load_weights(VisModel& model, const std::filesystem::path& file,
                        const WeightsOptions& options);

/// Writes parameters and buffers under their canonical names, atomically; training-only tensors are
/// left out.
void save_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata = {});
void save_weights(const VisModel& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata = {});

}  // namespace tessera
