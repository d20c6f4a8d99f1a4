#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/model/vis_model.h"
#include "launcher/weights/safetensors.h"
#include "launcher/weights/weight_file.h"
#include "launcher/weights/weights_options.h"

namespace tessera {

/// What became of a file's and a model's tensors.
struct LoadReport {
  std::vector<std::string> loaded;           // names in the model
  std::vector<std::string> fresh;            // names that `skip` or `reset` left initialised
  std::vector<std::string> adapted{};        // tensors that a part changed, with both shapes
  std::vector<std::string> replaced{};       // names that an earlier file gives, too
  std::vector<std::string> ignored;          // keys that `ignore`, `skip` or `reset` dropped
  std::vector<std::string> outside_prefix;   // keys of the file without the prefix
  std::vector<std::string> others;           // entries beside the tensors: metadata, epoch, args
  std::vector<std::string> unused_patterns;  // rules that matched nothing
  std::string note;                          // which rules were not applied, and why; may be ""

  /// "loaded 412 tensors; freshly initialised on purpose: a, b; ..." for the log.
  std::string text() const;
};

/// Copies a file's tensors into the model's, by the rules of `options`. The file is any that
/// read_weights() reads. Floating-point types are converted. Throws DataError that lists every
/// missing, unexpected, clashing and wrongly shaped tensor; the model is untouched then.
LoadReport load_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                        const WeightsOptions& options);
/// The same from a file that is read already; `where` names it in errors.
LoadReport load_weights(const std::vector<NamedTensor>& model, const TensorList& content,
                        const std::string& where, const WeightsOptions& options);

/// Writes parameters and buffers under their canonical names, atomically; training-only tensors are
/// left out.
void save_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata = {});
void save_weights(const VisModel& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata = {});

}  // namespace tessera
