#include "launcher/training/memory_limit.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <map>
#include <regex>
#include <vector>

#include "core/error.h"

namespace tessera {
namespace {

constexpr unsigned kParts = 3, kAll = (1U << kParts) - 1;

/// A set of parts as bits, in the order of this array.
constexpr std::array<bool Recomputed::*, kParts> kFlags{&Recomputed::masks, &Recomputed::encoder,
                                                        &Recomputed::backbone};

Recomputed from_bits(unsigned bits) {
  Recomputed what;
  for (unsigned i = 0; i < kParts; ++i) what.*kFlags[i] = (bits >> i & 1U) != 0;
  return what;
}

/// Where recomputing everything does not fit: fewer instances' masks at a time.
ChosenStep choose_rows(int64_t limit, int64_t most_rows, const ChosenStep& least,
                       const std::function<StepCost(const Recomputed&)>& measure) {
  int64_t smallest = least.cost.peak_bytes;
  Recomputed what = least.recomputed;
  for (what.mask_rows = most_rows; what.mask_rows > 1;) {
    what.mask_rows = (what.mask_rows + 1) / 2;
    const StepCost cost = measure(what);
    if (cost.peak_bytes <= limit) return {what, cost};
    smallest = std::min(smallest, cost.peak_bytes);
  }
  throw ConfigError(
      "train.memory: expected " +
      (smallest == kUnknownPeak ? "more than there is" : "at least " + memory_size_text(smallest)) +
      ", what a step of the largest clip takes with everything recomputed, got " +
      memory_size_text(limit) +
      ". Use smaller or shorter clips, a larger train.accumulation, or "
      "train.autocast.");
}

}  // namespace

int64_t parse_memory_size(const std::string& text) {
  static const std::regex pattern(R"(\s*(\d+(?:\.\d+)?)\s*([MG])(i?)B\s*)");
  std::smatch match;
  if (!std::regex_match(text, match, pattern))
    throw ConfigError("memory: expected a size as \"11GB\" (MB, GB, MiB or GiB), got '" + text +
                      "'.");
  const double base = match[3].length() > 0 ? 1024 : 1000;
  const double unit = std::pow(base, match[2] == "G" ? 3 : 2);
  return std::llround(std::stod(match[1]) * unit);
}

std::string memory_size_text(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f GB", 1e-9 * static_cast<double>(bytes));
  return text;
}

ChosenStep choose_recomputed(int64_t limit, int64_t most_rows,
                             const std::function<StepCost(const Recomputed&)>& measure) {
  // Least memory first, so that no choice is tried whose failure the others foretell.
  const ChosenStep least{from_bits(kAll), measure(from_bits(kAll))};
  if (least.cost.peak_bytes > limit) return choose_rows(limit, most_rows, least, measure);
  std::map<unsigned, StepCost> fitting{{kAll, least.cost}};
  auto try_step = [&](unsigned bits) {
    const StepCost cost = measure(from_bits(bits));
    if (cost.peak_bytes <= limit) fitting[bits] = cost;
    return cost.peak_bytes;
  };
  std::array<int64_t, kParts> kept{};  // what keeping a part's activations adds
  for (unsigned i = 0; i < kParts; ++i)
    kept[i] = std::max<int64_t>(0, try_step(kAll & ~(1U << i)) - least.cost.peak_bytes);
  for (unsigned bits = 0; bits < kAll; ++bits) {
    int64_t expected = least.cost.peak_bytes;
    for (unsigned i = 0; i < kParts; ++i) expected += (bits >> i & 1U) != 0 ? 0 : kept[i];
    if (std::popcount(bits) + 1 < static_cast<int>(kParts) && expected <= limit) try_step(bits);
  }
  // To recompute more can only be slower, whatever the clock says.
  std::erase_if(fitting, [&](const auto& one) {
    return std::any_of(fitting.begin(), fitting.end(), [&](const auto& other) {
      return other.first != one.first && (other.first & one.first) == other.first;
    });
  });
  const auto fastest = std::min_element(
      fitting.begin(), fitting.end(),
      [](const auto& a, const auto& b) { return a.second.seconds < b.second.seconds; });
  return {from_bits(fastest->first), fastest->second};
}

std::string text_of(const Recomputed& what) {
  std::vector<std::string> parts;
  if (what.backbone) parts.emplace_back("backbone");
  if (what.encoder) parts.emplace_back("encoder");
  if (what.decoder) parts.emplace_back("decoder");
  if (what.masks)
    parts.push_back(what.mask_rows > 0
                        ? "masks of " + std::to_string(what.mask_rows) + " instance(s) at a time"
                        : "masks");
  return parts.empty() ? "nothing" : join(parts, ", ");
}

}  // namespace tessera
