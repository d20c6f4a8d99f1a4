#pragma once

#include <filesystem>
#include <string>

#include "launcher/data/category_table.h"
#include "launcher/experiment.h"
#include "launcher/weights/safetensors.h"

namespace tessera {

/// Where the ids and names of a model's classes may stand.
struct CategorySources {
  std::filesystem::path given;    // --categories; may be empty
  std::filesystem::path input;    // what is inferred on, an annotation file or not
  TensorMetadata metadata;        // of the weights
  std::filesystem::path weights;  // their file, for messages
};

/// Ids and names of the model's classes: from --categories; else those that the weights were
/// trained on, under the ids of the input's annotations if these name them all; else those of the
/// input, of the experiment's annotation files, or its `data.categories`. Throws ConfigError if
/// there are none, or another number than data.num_categories, or if the input's are others than
/// the weights': ids are never made up.
data::CategoryTable result_categories(const Experiment& experiment, const CategorySources& sources);

}  // namespace tessera
