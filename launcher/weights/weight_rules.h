#pragma once

#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "launcher/weights/pickle/pickled_file.h"
#include "launcher/weights/safetensors.h"
#include "launcher/weights/weights_options.h"

namespace tessera {

/// A list of patterns that remembers which of them ever matched.
class PatternList {
 public:
  /// `field` of [weights], for messages. Throws ConfigError for a malformed pattern.
  PatternList(const std::vector<std::string>& patterns, const std::string& field);
  bool matches(const std::string& name);
  void list_unused(std::vector<std::string>& unused) const;

 private:
  struct Entry {
    std::regex pattern;
    std::string text;
    bool used = false;
  };
  std::vector<Entry> entries_;
};

/// A file's tensors under the names that the rules give them.
struct RenamedTensors {
  TensorList tensors;                        // in the file's order
  std::vector<std::string> ignored;          // keys of the file that `ignore` dropped
  std::vector<std::string> reset;            // keys of the file that `reset` dropped
  std::vector<std::string> outside_prefix;   // keys of the file without the prefix
  std::vector<std::string> clashing;         // names that were given twice, with the second key
  std::vector<std::string> unused_patterns;  // rules that matched nothing
};

/// Applies prefix, ignore, rename and reset, in this order. A pattern of `reset` is unused only if
/// it matches nothing in the model either, so that list is the caller's.
RenamedTensors apply_rules(const TensorList& tensors, const WeightRules& options);

/// Of a file's tensors that cannot be read, those that prefix and ignore do not drop.
std::vector<pickle::OtherEntry> needed(const std::vector<pickle::OtherEntry>& unsupported,
                                       const WeightRules& options);

}  // namespace tessera
