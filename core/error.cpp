#include "core/error.h"

#include <algorithm>
#include <numeric>

namespace tessera {
namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 2) + 1;
  for (const auto& candidate : known) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  if (parts.empty()) return "none";
  std::string text = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) text.append(separator).append(parts[i]);
  return text;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  std::string text;
  if (auto near = nearest_name(name, known); !near.empty()) text = " Did you mean '" + near + "'?";
  return text + " Known: " + join(known) + ".";
}

}  // namespace tessera
