#include "launcher/model/model_cost.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/error.h"
#include "launcher/inference/windows.h"
#include "launcher/model/criterion_stages.h"
#include "launcher/model/mac_counter.h"

namespace tessera {
namespace {

/// Counts each parameter for the first part that holds it.
class ParameterCount {
 public:
  int64_t of(const torch::nn::Module& part) {
    int64_t count = 0;
    for (const at::Tensor& parameter : part.parameters())
      if (seen_.insert(parameter.unsafeGetTensorImpl()).second) count += parameter.numel();
    return count;
  }

 private:
  std::set<const void*> seen_;
};

/// "1,234,567".
std::string grouped(int64_t value) {
  std::string digits = std::to_string(std::abs(value));
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), 1, ',');
  return (value < 0 ? "-" : "") + digits;
}

/// Parts of all costs in the order of the first that has them.
std::vector<std::string> part_names(const std::vector<ModelCost>& costs) {
  std::vector<std::string> names;
  for (const ModelCost& cost : costs)
    for (const PartCost& part : cost.parts)
      if (std::find(names.begin(), names.end(), part.part) == names.end())
        names.push_back(part.part);
  return names;
}

const PartCost* find(const ModelCost& cost, const std::string& part) {
  const auto found = std::find_if(cost.parts.begin(), cost.parts.end(),
                                  [&](const PartCost& one) { return one.part == part; });
  return found == cost.parts.end() ? nullptr : &*found;
}

/// Rows of text in columns: the first to the left, the others to the right.
std::string columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) {
      if (i == widths.size()) widths.push_back(0);
      widths[i] = std::max(widths[i], row[i].size());
    }
  std::ostringstream out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i)
      out << (i == 0 ? std::left : std::right) << (i == 0 ? "" : "  ")
          << std::setw(row.size() == 1 ? 0 : static_cast<int>(widths[i])) << row[i];
    out << '\n';
  }
  return out.str();
}

using Value = std::optional<int64_t> (*)(const PartCost&);

/// A row for each part that has the value in some experiment, then the model's total.
std::vector<std::vector<std::string>> rows_of(const std::vector<ModelCost>& costs, Value value) {
  std::vector<std::vector<std::string>> rows;
  auto add = [&](const std::string& part, const std::vector<std::optional<int64_t>>& values) {
    if (std::none_of(values.begin(), values.end(), [](const auto& one) { return one.has_value(); }))
      return;
    std::vector<std::string> row{part};
    for (const auto& one : values) row.push_back(one ? grouped(*one) : "-");
    for (size_t i = 1; i < values.size(); ++i) {
      const int64_t difference = values[i].value_or(0) - values[0].value_or(0);
      row.push_back((difference > 0 ? "+" : "") + grouped(difference));
    }
    rows.push_back(row);
  };
  auto all = [&](const auto& read) {
    std::vector<std::optional<int64_t>> values;
    for (const ModelCost& cost : costs) values.push_back(read(cost));
    return values;
  };
  for (const std::string& name : part_names(costs))
    add("  " + name, all([&](const ModelCost& cost) -> std::optional<int64_t> {
          const PartCost* part = find(cost, name);
          return part ? value(*part) : std::nullopt;
        }));
  add("  model", all([&](const ModelCost& cost) { return value(cost.total()); }));
  return rows;
}

}  // namespace

PartCost ModelCost::total() const {
  PartCost total{"model", 0, 0};
  for (const PartCost& part : parts) {
    if (!part.macs) continue;  // in training only
    total.parameters += part.parameters;
    *total.macs += *part.macs;
  }
  return total;
}

ModelCost measure_model_cost(const Experiment& experiment, const ClipSize& size) {
  VisModel model(experiment.model, experiment.clip_facts());
  model.eval();
  if (const int64_t fixed = model.needs().fixed_frames; fixed > 0 && fixed != size.frames)
    throw ConfigError("--frames: expected " + std::to_string(fixed) +
                      ", which this model is made for, got " + std::to_string(size.frames) + ".");
  ModelCost cost;
  const InferenceOptions& inference = experiment.inference;
  cost.masks = inference.select == "top_k"
                   ? std::min(inference.top_k, model.facts().queries.num_queries)
                   : model.facts().queries.num_queries;
  const auto windows = windows_of(size.frames, inference.window.frames, inference.overlap);
  cost.window = windows.front().length;
  cost.windows = static_cast<int64_t>(windows.size());
  const ClipBatch clip =
      noise_clip({cost.window, size.height, size.width}, model.needs().size_divisor);
  const ForwardContext context;
  std::map<std::string, int64_t> macs;
  {
    const torch::NoGradGuard no_grad;
    const MacCounter counter;
    const VisModel::Output output = model.forward(clip, context);
    if (!output.last().predictions.layers.empty())
      output.last().predictions.last().masks->logits(0, at::arange(cost.masks));
    macs = counter.by_scope();
  }
  for (auto& [part, count] : macs) count *= cost.windows;
  ParameterCount parameters;
  for (const auto& [name, part] : model.parts())
    cost.parts.push_back({name, parameters.of(*part), macs[name]});
  const int64_t of_loss =
      parameters.of(Criterion(experiment.loss, model.facts(), criterion_stages(model)));
  if (of_loss > 0) cost.parts.push_back({"loss", of_loss, std::nullopt});
  for (const AuxiliaryOptions& auxiliary : experiment.auxiliaries)
    cost.parts.push_back({"auxiliary." + auxiliary.name,
                          parameters.of(*model.facts().make(auxiliary.network)), std::nullopt});
  return cost;
}

std::string model_cost_table(const std::vector<std::string>& names,
                             const std::vector<ModelCost>& costs, const ClipSize& size) {
  std::vector<std::vector<std::string>> rows{{""}};
  rows[0].insert(rows[0].end(), names.begin(), names.end());
  for (size_t i = 1; i < names.size(); ++i)
    rows[0].push_back(names.size() == 2 ? "difference" : "difference " + std::to_string(i));
  auto add = [&](const std::string& title, Value value) {
    rows.push_back({title});
    const auto more = rows_of(costs, value);
    rows.insert(rows.end(), more.begin(), more.end());
  };
  add("parameters", [](const PartCost& part) { return std::optional(part.parameters); });
  add("multiply-accumulates", [](const PartCost& part) { return part.macs; });
  std::vector<std::string> masks{"masks made"};
  for (const ModelCost& cost : costs) masks.push_back(std::to_string(cost.masks));
  rows.push_back(masks);
  std::vector<std::string> windows{"windows"};
  for (const ModelCost& cost : costs)
    windows.push_back(std::to_string(cost.windows) + " of " + std::to_string(cost.window));
  rows.push_back(windows);
  std::ostringstream out;
  out << columns(rows) << "Inference on " << size.frames << " frames of " << size.height << " x "
      << size.width << " pixels in windows of so many frames, masks of each window. loss and "
      << "auxiliary.*: in training only, not in the model's sum.\n";
  return out.str();
}

std::string model_cost_json(const std::vector<std::string>& names,
                            const std::vector<ModelCost>& costs, const ClipSize& size) {
  using Json = nlohmann::ordered_json;
  Json json{{"frames", size.frames}, {"height", size.height}, {"width", size.width}};
  Json& experiments = json["experiments"] = Json::array();
  for (size_t i = 0; i < costs.size(); ++i) {
    Json entry{{"experiment", names[i]},
               {"masks", costs[i].masks},
               {"windows", costs[i].windows},
               {"window", costs[i].window}};
    auto add = [&](const PartCost& part) {
      entry["parts"][part.part] = {{"parameters", part.parameters},
                                   {"macs", part.macs ? Json(*part.macs) : Json(nullptr)}};
    };
    for (const PartCost& part : costs[i].parts) add(part);
    const PartCost total = costs[i].total();
    entry["total"] = {{"parameters", total.parameters}, {"macs", *total.macs}};
    experiments.push_back(entry);
  }
  return json.dump(1) + "\n";
}

}  // namespace tessera
