#include "launcher/weights/pickle/acyclic.h"

#include <algorithm>

#include "core/error.h"

namespace tessera::pickle {
namespace {

/// A value on the way from the root, and the next of its references to follow.
struct Visit {
  ValueId id;
  size_t next = 0;
};

/// The references of a value: callable, arguments, state, then its items; none of an inert object.
/// kNoValue at the end.
ValueId reference(const Pickle& pickle, const Value& value, size_t& next) {
  if (pickle.is_inert(value)) return kNoValue;
  const ValueId direct[] = {value.callable, value.arguments, value.state};
  for (; next < 3; ++next)
    if (direct[next] != kNoValue) return direct[next++];
  const auto& items = pickle.items_of(value);
  return next - 3 < items.size() ? items[next++ - 3] : kNoValue;
}

}  // namespace

void check_acyclic(const Pickle& pickle, size_t most_nested, const std::string& file) {
  // Height of a value that is done; kOpen on the way to it, kNew before. Depth first, without
  // recursion: a pickle may nest deeper than the program's stack.
  constexpr uint32_t kNew = kNoValue, kOpen = kNoValue - 1;
  std::vector<uint32_t> height(pickle.values.size(), kNew);
  std::vector<Visit> path{{pickle.root}};
  height[pickle.root] = kOpen;
  while (!path.empty()) {
    Visit& visit = path.back();
    const ValueId id = visit.id, child = reference(pickle, pickle[id], visit.next);
    if (child != kNoValue) {
      if (height[child] == kOpen)
        throw DataError(file +
                        ": expected values that nest, got one that holds itself (a cycle). "
                        "The file is damaged or harmful; nothing of it was executed.");
      if (height[child] == kNew) {
        height[child] = kOpen;
        path.push_back({child});
      }
      continue;
    }
    uint32_t above = 0;
    size_t next = 0;
    for (ValueId i; (i = reference(pickle, pickle[id], next)) != kNoValue;)
      above = std::max(above, height[i] + 1);
    if (above > most_nested)
      throw DataError(file + ": expected values nested at most " + std::to_string(most_nested) +
                      " deep, got more. The file is damaged or harmful; nothing of it was "
                      "executed.");
    height[id] = above;
    path.pop_back();
  }
}

}  // namespace tessera::pickle
