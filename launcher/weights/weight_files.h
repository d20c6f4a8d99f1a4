#pragma once

#include <string>
#include <vector>

#include "launcher/weights/load_weights.h"

namespace tessera {

/// What was taken from one of several files.
struct FileLoad {
  std::string file;
  LoadReport report;
};

/// Weights of `[[weights.files]]`: each file's tensors by its own rules, and together every tensor
/// of the model that no rule leaves fresh. Names in the reports are canonical. Throws DataError
/// that lists every missing, unexpected, clashing and wrongly shaped tensor, tensors that two files
/// give unless the later one replaces, and files that give none; the model is untouched then.
std::vector<FileLoad> load_weight_files(VisModel& model,
                                        const std::vector<WeightFileOptions>& files);

}  // namespace tessera
