#include "launcher/weights/part_adapter.h"

#include "core/error.h"
#include "core/structures/shape.h"

namespace tessera {
namespace {

void adapt_with(const Part& part, const std::string& prefix, TensorList& tensors) {
  try {
    part.adapt_weights(tensors);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw PluginError(prefix.substr(0, prefix.size() - 1) +
                      ": expected the part to adapt the weights of the file, got: " + error.what());
  }
}

/// What became of a part's tensors: "<name>: [4, 4] -> [2, 4]", "<name>: made", "<name>: dropped".
std::vector<std::string> changes(const TensorList& before, const TensorList& after,
                                 const std::string& prefix) {
  std::vector<std::string> texts;
  std::map<std::string, at::Tensor> old(before.begin(), before.end());
  for (const auto& [name, tensor] : after) {
    const auto found = old.find(name);
    if (found == old.end())
      texts.push_back(prefix + name + ": made, " + shape_text(tensor.sizes()));
    else if (!found->second.is_same(tensor))
      texts.push_back(prefix + name + ": " + shape_text(found->second.sizes()) + " -> " +
                      shape_text(tensor.sizes()));
    if (found != old.end()) old.erase(found);
  }
  for (const auto& [name, tensor] : old)
    texts.push_back(prefix + name + ": dropped, " + shape_text(tensor.sizes()));
  return texts;
}

}  // namespace

PartAdapter::PartAdapter(const VisModel& model, NameStyle style) {
  for (const auto& item : model.named_modules("", /*include_self=*/false))
    if (auto part = std::dynamic_pointer_cast<Part>(item.value()))
      parts_.emplace_back(item.key() + ".", std::move(part));
  const auto given = model.named_tensors(style),
             composed = model.named_tensors(NameStyle::kComposed);  // in the same order
  for (size_t i = 0; i < given.size(); ++i) {
    composed_.emplace(given[i].name, composed[i].name);
    given_.emplace(composed[i].name, given[i].name);
  }
}

std::string PartAdapter::composed(const std::string& name) const {
  const auto found = composed_.find(name);
  return found == composed_.end() ? name : found->second;
}

std::vector<std::string> PartAdapter::adapt(TensorList& tensors) const {
  std::vector<std::string> all;
  for (const auto& [prefix, part] : parts_) {
    TensorList own, rest;
    std::map<std::string, std::string> names;  // of the part's tensors, as they were given
    for (const auto& [name, tensor] : tensors) {
      const std::string full = composed(name);
      if (full.starts_with(prefix)) {
        own.emplace_back(full.substr(prefix.size()), tensor);
        names.emplace(own.back().first, name);
      } else {
        rest.emplace_back(name, tensor);
      }
    }
    if (own.empty()) continue;
    const TensorList before = own;
    adapt_with(*part, prefix, own);
    const std::vector<std::string> texts = changes(before, own, prefix);
    if (texts.empty()) continue;
    all.insert(all.end(), texts.begin(), texts.end());
    for (const auto& [name, tensor] : own) {
      const auto known = given_.find(prefix + name);
      const auto was = names.find(name);
      rest.emplace_back(known != given_.end() ? known->second
                        : was != names.end()  ? was->second
                                              : prefix + name,
                        tensor);
    }
    tensors = std::move(rest);
  }
  return all;
}

}  // namespace tessera
