#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/config/schema.h"
#include "core/interfaces/attention.h"
#include "core/interfaces/part.h"
#include "core/plugin/descriptor.h"
#include "core/structures/features.h"
#include "core/structures/predictions.h"

namespace tessera {

class Linker;

/// Facts of the data that parts size themselves by.
struct ClipFacts {
  int64_t num_frames = 1;      // T of a training clip, from [data]
  int64_t num_categories = 1;  // of the data set
};

/// What a part is told when it is made: the facts of the clip and of the parts before it.
/// A part makes its children through make(), and registers them under names of its own.
class TESSERA_API BuildContext {
 public:
  ClipFacts clip;
  PyramidSpec pyramid;               // for everything after the backbone
  MemorySpec memory;                 // for everything after the encoder
  QuerySpec queries;                 // for everything after the decoder
  AttentionSpec attention;           // for attentions: set by the parent
  std::vector<QuerySpec> earlier{};  // for parts of further stages: those before, first to last
  std::shared_ptr<const Linker> linker{};  // for trackers: that of [inference.linker], or null

  /// Makes the chosen plugin. Throws PluginError naming the plugin where its constructor throws
  /// something else than an Error, or makes another kind.
  template <class Kind>
  std::shared_ptr<Kind> make(const PluginOf<Kind>& choice) const {
    auto part = std::dynamic_pointer_cast<Kind>(make_part(choice, Kind::kKind));
    if (!part) wrong_kind(choice, Kind::kKind);
    return part;
  }

  /// A copy that tells an attention child what it is for.
  BuildContext with(AttentionSpec spec) const {
    BuildContext copy = *this;
    copy.attention = std::move(spec);
    return copy;
  }

 private:
  std::shared_ptr<Part> make_part(const PluginChoice& choice, const char* kind) const;
  [[noreturn]] static void wrong_kind(const PluginChoice& choice, const char* kind);
};

}  // namespace tessera
