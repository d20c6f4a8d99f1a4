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
  std::vector<std::string> others;           // entries beside the tensors: metadata, epoch, args
  std::vector<std::string> unused_patterns;  // rules that matched nothing

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
LoadReport load_weights(VisModel& model, const std::filesystem::path& file,
                        const WeightsOptions& options);

/// The rules for a file that the command line gives to a finished model. A safetensors file has the
/// model's own names: no rules. A pickled one comes from elsewhere, so the experiment's `key`,
/// `prefix`, `rename` and `ignore` apply; `skip` does not, because nothing would train what it
/// leaves fresh.
WeightsOptions rules_for_given_file(const std::filesystem::path& file,
                                    const WeightsOptions& experiment);

/// Writes parameters and buffers under their canonical names, atomically; training-only tensors are
/// left out.
void save_weights(const std::vector<NamedTensor>& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata = {});
void save_weights(const VisModel& model, const std::filesystem::path& file,
                  const TensorMetadata& metadata = {});

}  // namespace tessera
