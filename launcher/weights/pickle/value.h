#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/weights/pickle/globals.h"

namespace tessera::pickle {

using ValueId = uint32_t;
inline constexpr ValueId kNoValue = std::numeric_limits<ValueId>::max();

enum class Kind : uint8_t {
  kNone,
  kBool,
  kInteger,
  kBigInteger,  // beyond 64 bits: its bytes, little-endian two's complement
  kReal,
  kText,        // UTF-8
  kLatin1Text,  // Python 2's str: text in Latin-1, or raw bytes
  kBytes,
  kTuple,
  kList,
  kDict,
  kSet,
  kGlobal,
  kObject,     // what a call of a global would have given
  kStorageId,  // a PyTorch storage by reference ("persistent id")
};

/// One inert value of a pickle: data and references to other values, nothing that acts.
struct Value {
  Kind kind = Kind::kNone;
  ValueId callable = kNoValue;   // kObject: a kGlobal
  ValueId arguments = kNoValue;  // kObject: a kTuple; kStorageId: the id
  ValueId state = kNoValue;      // kObject: what BUILD gave it
  uint32_t items = kNoValue;     // index into Pickle::items
  union {
    int64_t integer = 0;  // kInteger, kBool
    double real;
    const Global* global;
  };
  std::string_view text;  // kText, kLatin1Text, kBytes, kBigInteger
};

/// A pickle that was read: a graph without cycles, if the references of inert objects are not
/// followed. Texts point into the bytes it was read from.
struct Pickle {
  std::deque<Value> values;
  std::deque<std::vector<ValueId>> items;  // of a kDict and mapping: key, value, key, value, ...
  std::deque<std::string> decoded;         // texts that the pickle holds in another form
  std::deque<Global> inert;                // globals that find_global() does not know
  std::vector<ValueId> storage_ids;        // every kStorageId
  ValueId root = kNoValue;
  size_t size = 0;  // bytes of the pickle, STOP included

  const Value& operator[](ValueId id) const { return values[id]; }
  /// Items of a container; none for a value that has none.
  const std::vector<ValueId>& items_of(const Value& value) const {
    static const std::vector<ValueId> kNoItems;
    return value.items == kNoValue ? kNoItems : items[value.items];
  }
  /// The global that made an object, or nullptr.
  const Global* maker(const Value& value) const {
    return value.kind == Kind::kObject ? values[value.callable].global : nullptr;
  }
  /// Whether a value is an object of a class that stands beside the weights. It may hold itself.
  bool is_inert(const Value& value) const {
    const Global* global = maker(value);
    return global != nullptr && global->role == Role::kInert;
  }
  bool is_mapping(const Value& value) const {
    const Global* global = maker(value);
    return value.kind == Kind::kDict || (global != nullptr && global->role == Role::kMapping);
  }
};

}  // namespace tessera::pickle
