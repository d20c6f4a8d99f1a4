#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/plugin/registry.h"
#include "launcher/parity/case.h"
#include "launcher/parity/compare.h"
#include "launcher/parity/table.h"

namespace tessera::parity {

/// The overrides that a case's config means, by the table's rules. Throws ConfigError for a key
/// that no rule names: nothing of a case is silently left out.
std::vector<std::string> overrides_of(const Case& parity_case, const Table& table);

/// Builds the case's model from the experiment, runs it in `type`, and compares every stored
/// tensor. Double instead of float shows how far the stored tensors are from exact arithmetic; in
/// float, a gradient that misses by little, or a value whose tolerance is below float32's
/// resolution, is compared again in double (Comparison::in_double).
std::vector<Comparison> check_model_case(const Case& parity_case, const Table& table,
                                         Registry& registry, at::ScalarType type = at::kFloat);

/// The same for cases without frames: selection of tracks from stored predictions, and their masks.
std::vector<Comparison> check_inference_case(const Case& parity_case, const Table& table,
                                             Registry& registry);

/// Whether a case is of windows of a video that are linked: it stores `window.<c>.track`.
bool is_window_case(const Case& parity_case);
/// Links the windows, stored or computed from frames, by the experiment's [inference], and compares
/// every stored tensor.
std::vector<Comparison> check_window_case(const Case& parity_case, const Table& table,
                                          Registry& registry);

/// The same for operators and assignment problems.
std::vector<Comparison> check_operator_case(const Case& parity_case);

/// The table of a case: that of its system, `backbones` for a backbone by itself, or
/// `<system>_learning_rates`.
std::string table_name(const Case& parity_case);

/// Whether a case is of a backbone alone, its keys the backbone's own: as case.json's `kind` says,
/// or, without one, where its outputs are `stage<N>`.
bool is_backbone_case(const Case& parity_case);
std::vector<Comparison> check_backbone_case(const Case& parity_case, const Table& table,
                                            Registry& registry, at::ScalarType type = at::kFloat);
/// Whether a case is of an optimiser's steps, float32 throughout.
bool is_optimiser_case(const Case& parity_case);
std::vector<Comparison> check_optimiser_case(const Case& parity_case);

/// Whether a case is of the learning rates that a recipe gives each parameter: it stores `lr`.
bool is_learning_rate_case(const Case& parity_case);
/// Compares the rates, `[steps, parameters]`, and the layer-wise factors, `[parameters]`, in double
/// and relative to each rate.
std::vector<Comparison> check_learning_rate_case(const Case& parity_case, const Table& table);

/// Whether a case is of one network of core/nn by itself, float32 and without a table.
bool is_layer_case(const Case& parity_case);
std::vector<Comparison> check_layer_case(const Case& parity_case);

/// Whether a case is about linking frames by their query embeddings: it holds what a model that
/// runs frame by frame gave, and needs no table.
bool is_tracking_case(const Case& parity_case);
/// Links the frames with the linker `embedding` and compares every stored tensor.
std::vector<Comparison> check_tracking_case(const Case& parity_case, Registry& registry);

/// The experiment of a case with all overrides, as resolved TOML.
std::string case_toml(const Case& parity_case, const Table& table, Registry& registry);

}  // namespace tessera::parity
