#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tessera {

/// Counts the multiply-accumulates of what the current thread runs while it lives, from the shapes
/// that PyTorch's operators are called with: convolutions, matrix products, attention, and
/// Tessera's own operators, where a sample costs one for each neighbour (4 in an image, 8 in a
/// volume) and channel. Element-wise operators, norms, softmax and resizing are not counted.
/// Sums are kept by the innermost RECORD_USER_SCOPE, "" outside of all.
/// One at a time in a thread: a second one throws std::logic_error.
class MacCounter {
 public:
  MacCounter();
  ~MacCounter();
  MacCounter(const MacCounter&) = delete;
  MacCounter& operator=(const MacCounter&) = delete;

  const std::map<std::string, int64_t>& by_scope() const { return by_scope_; }
  int64_t total() const;

 private:
  friend struct MacObserver;

  uint64_t handle_ = 0;
  std::vector<std::string> scopes_;
  int64_t inside_ = 0;  // counted operators that are running: what they call is part of them
  std::map<std::string, int64_t> by_scope_;
};

}  // namespace tessera
