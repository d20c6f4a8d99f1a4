#include "launcher/training/checkpoint.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "launcher/weights/checkpoint_format.h"
#include "launcher/weights/load_weights.h"

namespace tessera {
namespace {

constexpr std::string_view kOptimiser = "optimiser.";

/// A 64-bit sum of everything a checkpoint holds, against damage, not against malice.
class Checksum {
 public:
  void add(const void* bytes, size_t size) {
    const char* from = static_cast<const char*>(bytes);
    add_word(size);
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), from += sizeof(uint64_t)) {
      uint64_t word;
      std::memcpy(&word, from, sizeof(word));
      add_word(word);
    }
    uint64_t rest = 0;
    std::memcpy(&rest, from, size);
    add_word(rest);
  }
  std::string text() const { return std::to_string(sum_); }

 private:
  // Rotation carries high bits down to where the multiplication spreads them.
  void add_word(uint64_t word) { sum_ = std::rotl(sum_ ^ word, 29) * 0x9E3779B97F4A7C15ull + 1; }
  uint64_t sum_ = 0;
};

std::string checksum(const TensorList& tensors, const TensorMetadata& metadata) {
  Checksum sum;
  for (const auto& [key, value] : metadata) {
    if (key == "checksum") continue;
    sum.add(key.data(), key.size());
    sum.add(value.data(), value.size());
  }
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor values = tensor.detach().to(at::kCPU).contiguous();
    sum.add(name.data(), name.size());
    sum.add(values.data_ptr(), values.nbytes());
  }
  return sum.text();
}

std::string exact_text(double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

[[noreturn]] void no_checkpoint(const std::filesystem::path& file, const std::string& message) {
  throw DataError(file.string() + ": expected a checkpoint of 'tessera train', got " + message +
                  ".");
}

class MetadataReader {
 public:
  MetadataReader(const TensorMetadata& metadata, const std::filesystem::path& file)
      : metadata_(metadata), file_(file) {}
  const std::string& text(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) no_checkpoint(file_, "a file without '" + key + "'");
    return found->second;
  }
  template <class T>
  T number(const std::string& key) const {
    const std::string& value = text(key);
    T number{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size())
      no_checkpoint(file_, "'" + value + "' as " + key);
    return number;
  }

 private:
  const TensorMetadata& metadata_;
  const std::filesystem::path& file_;
};

TrainState state_of(const TensorMetadata& metadata, const std::filesystem::path& file) {
  const MetadataReader reader(metadata, file);
  if (reader.text("format") != kCheckpointFormat)
    no_checkpoint(file, "the format '" + reader.text("format") + "'");
  TrainState state;
  state.iteration = reader.number<int64_t>("iteration");
  state.consumed_samples = reader.number<int64_t>("consumed_samples");
  state.seed = reader.number<int64_t>("seed");
  if (metadata.count("best")) state.best = reader.number<double>("best");
  if (metadata.count("validations_since_best"))
    state.validations_since_best = reader.number<int64_t>("validations_since_best");
  state.experiment = reader.text("experiment");
  return state;
}

std::string optimiser_prefix(const std::string& name) {
  return (name.empty() ? "" : std::string(kAuxiliary) + name + ".") + std::string(kOptimiser);
}

/// A checkpoint whose checksum is right.
SafetensorsFile read_whole(const std::filesystem::path& file) {
  SafetensorsFile content = read_safetensors(file);
  state_of(content.metadata, file);
  const std::string& stored = MetadataReader(content.metadata, file).text("checksum");
  if (const std::string found = checksum(content.tensors, content.metadata); found != stored)
    throw DataError(file.string() + ": expected the checksum " + stored + ", got " + found +
                    ". The file is damaged: --resume auto goes on from the checkpoint before it.");
  return content;
}

void load_average(const SafetensorsFile& content, const std::filesystem::path& file,
                  WeightAverage& average) {
  TensorList averages;
  for (const auto& [name, tensor] : content.tensors)
    if (name.starts_with(kCheckpointAverage))
      averages.emplace_back(name.substr(kCheckpointAverage.size()), tensor);
  if (averages.empty()) return average.begin();
  try {
    average.load(averages);
  } catch (const DataError& error) {
    throw DataError(file.string() + ": " + error.what());
  }
}

/// Why a checkpoint cannot be used, or "".
std::string damage_of(const std::filesystem::path& file) {
  try {
    read_whole(file);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

Snapshot take_snapshot(const TrainState& state, const std::vector<NamedTensor>& model,
                       const NamedOptimisers& optimisers, const WeightAverage* average) {
  Snapshot snapshot;
  snapshot.iteration = state.iteration;
  auto add = [&](const std::string& name, const at::Tensor& tensor) {
    snapshot.tensors.emplace_back(name, tensor.detach().to(at::kCPU, /*non_blocking=*/false,
                                                           /*copy=*/true));
  };
  for (const NamedTensor& tensor : model)
    add(std::string(kCheckpointModel) + tensor.name, tensor.tensor);
  for (const auto& [name, optimiser] : optimisers)
    for (const auto& [slot, tensor] : optimiser->state())
      add(optimiser_prefix(name) + slot, tensor);
  if (average)
    for (const auto& [name, tensor] : average->averages())
      add(std::string(kCheckpointAverage) + name, tensor);
  snapshot.metadata = {{"format", std::string(kCheckpointFormat)},
                       {"iteration", std::to_string(state.iteration)},
                       {"consumed_samples", std::to_string(state.consumed_samples)},
                       {"seed", std::to_string(state.seed)},
                       {"experiment", state.experiment}};
  if (state.best) snapshot.metadata["best"] = exact_text(*state.best);
  if (state.validations_since_best > 0)
    snapshot.metadata["validations_since_best"] = std::to_string(state.validations_since_best);
  if (!state.categories.empty()) snapshot.metadata[std::string(kCategoriesKey)] = state.categories;
  return snapshot;
}

std::filesystem::path write_checkpoint(const RunFolder& folder, Snapshot snapshot,
                                       int64_t keep_last) {
  snapshot.metadata["checksum"] = checksum(snapshot.tensors, snapshot.metadata);
  TensorList weights;
  std::map<std::string, at::Tensor> averages;
  for (const auto& [name, tensor] : snapshot.tensors) {
    if (name.starts_with(kCheckpointModel) &&
        !is_training_only(name.substr(kCheckpointModel.size())))
      weights.emplace_back(name.substr(kCheckpointModel.size()), tensor);
    if (name.starts_with(kCheckpointAverage))
      averages.emplace(name.substr(kCheckpointAverage.size()), tensor);
  }
  TensorMetadata notes;
  for (const std::string_view key :
       {std::string_view("iteration"), std::string_view("experiment"), kCategoriesKey})
    if (const auto found = snapshot.metadata.find(std::string(key));
        found != snapshot.metadata.end())
      notes.insert(*found);
  write_safetensors(folder.last_weights(), weights, notes);
  if (!averages.empty()) {
    for (auto& [name, tensor] : weights)
      if (const auto found = averages.find(name); found != averages.end()) tensor = found->second;
    write_safetensors(folder.averaged_weights(), weights, notes);
  }
  // After the weights: a run that is killed between the two writes both again, whereas one whose
  // last checkpoint is there has nothing left to do.
  const std::filesystem::path file = folder.checkpoint(snapshot.iteration);
  write_safetensors(file, snapshot.tensors, snapshot.metadata);
  folder.keep_checkpoints(keep_last);
  return file;
}

std::filesystem::path save_checkpoint(const RunFolder& folder, const TrainState& state,
                                      const std::vector<NamedTensor>& model, Optimiser& optimiser,
                                      int64_t keep_last) {
  return write_checkpoint(folder, take_snapshot(state, model, {{"", &optimiser}}), keep_last);
}

TrainState read_train_state(const std::filesystem::path& file) {
  return state_of(read_safetensors_header(file).metadata, file);
}

TrainState load_checkpoint(const std::filesystem::path& file, const std::vector<NamedTensor>& model,
                           const NamedOptimisers& optimisers, WeightAverage* average) {
  const SafetensorsFile content = read_whole(file);
  const TrainState state = state_of(content.metadata, file);
  WeightsOptions options;
  options.prefix = std::string(kCheckpointModel);
  load_weights(model, content.tensors, file.string(), options);
  for (const auto& [name, optimiser] : optimisers) {
    const std::string prefix = optimiser_prefix(name);
    TensorList optimiser_state;
    for (const auto& [tensor_name, tensor] : content.tensors)
      if (tensor_name.starts_with(prefix))
        optimiser_state.emplace_back(tensor_name.substr(prefix.size()), tensor);
    try {
      optimiser->load_state(optimiser_state);
    } catch (const DataError& error) {
      throw DataError(file.string() + ": " + (name.empty() ? "" : "auxiliary " + name + ": ") +
                      error.what());
    }
  }
  if (average) load_average(content, file, *average);
  return state;
}

TrainState load_checkpoint(const std::filesystem::path& file, const std::vector<NamedTensor>& model,
                           Optimiser& optimiser) {
  return load_checkpoint(file, model, NamedOptimisers{{"", &optimiser}});
}

std::optional<std::filesystem::path> find_checkpoint(const RunFolder& folder,
                                                     const std::string& resume,
                                                     std::ostream& notes) {
  if (resume.empty()) return std::nullopt;
  if (resume != "auto") {
    if (!std::filesystem::exists(resume))
      throw DataError("--resume " + resume +
                      ": expected \"auto\" or a checkpoint, got no such file.");
    return std::filesystem::path(resume);
  }
  const auto found = folder.checkpoints();
  std::vector<std::string> damaged;
  for (auto one = found.rbegin(); one != found.rend(); ++one) {
    if (const std::string reason = damage_of(one->second); !reason.empty()) {
      damaged.push_back(reason);
      notes << "damaged, put aside as '" << one->second.filename().string()
            << ".damaged': " << reason << std::endl;
      continue;
    }
    for (auto bad = found.rbegin(); bad != one; ++bad) folder.put_aside(bad->second);
    return one->second;
  }
  // Beginning anew without a word would throw away what the run had learnt.
  if (!damaged.empty())
    throw DataError(folder.path().string() + ": expected a whole checkpoint, got " +
                    std::to_string(damaged.size()) + " damaged: " + join(damaged, " ") +
                    " Remove them to begin anew.");
  return std::nullopt;
}

}  // namespace tessera
