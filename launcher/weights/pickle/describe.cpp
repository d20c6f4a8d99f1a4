#include "launcher/weights/pickle/describe.h"

#include <array>
#include <charconv>

#include "launcher/weights/pickle/text.h"

namespace tessera::pickle {
namespace {

constexpr size_t kMostKeys = 8;
constexpr size_t kLongestKey = 40;

std::string number_text(double number) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  return {digits.data(), end};
}

/// ": lr, epochs, ..." of a mapping's items.
std::string key_list(const Pickle& pickle, const std::vector<ValueId>& items) {
  std::string text;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (i / 2 == kMostKeys) return text + ", ...";
    std::string key = quote(key_text(pickle, items[i]).substr(0, kLongestKey));
    text += (i == 0 ? ": " : ", ") + key.substr(1, key.size() - 2);
  }
  return text;
}

std::string mapping_text(const Pickle& pickle, const Value& value) {
  const auto& items = pickle.items_of(value);
  return "table of " + std::to_string(items.size() / 2) + key_list(pickle, items);
}

std::string object_text(const Pickle& pickle, const Value& value) {
  const Global& maker = *pickle.maker(value);
  // Objects of protocols before 2 are calls of one function with their class.
  const auto& arguments = pickle.items_of(pickle[value.arguments]);
  const bool is_call_with_class = maker.name == "_reconstructor" && !arguments.empty() &&
                                  pickle[arguments[0]].kind == Kind::kGlobal;
  const std::string name = text_of(is_call_with_class ? *pickle[arguments[0]].global : maker);
  if (maker.role == Role::kTensor || maker.role == Role::kParameter ||
      maker.role == Role::kTensorSubclass)
    return "tensor";
  if (maker.role == Role::kOtherTensor) return "tensor of " + name;
  if (maker.role == Role::kArray || maker.role == Role::kBufferArray) return "array";
  if (maker.role == Role::kEncode || maker.role == Role::kBytes) return "bytes";
  // A dict's entries before its attributes, which are the library's own.
  if (value.items != kNoValue) return name + key_list(pickle, pickle.items_of(value));
  if (value.state != kNoValue && pickle.is_mapping(pickle[value.state]))
    return name + key_list(pickle, pickle.items_of(pickle[value.state]));
  return name;
}

}  // namespace

std::string key_text(const Pickle& pickle, ValueId id) {
  const Value& value = pickle[id];
  if (value.kind == Kind::kText) return std::string(value.text.substr(0, kLongestName));
  if (value.kind == Kind::kLatin1Text) return from_latin1(value.text.substr(0, kLongestName));
  if (value.kind == Kind::kInteger) return std::to_string(value.integer);
  return "(a key that is no text)";
}

std::string describe(const Pickle& pickle, ValueId id) {
  const Value& value = pickle[id];
  const std::string count = std::to_string(pickle.items_of(value).size());
  switch (value.kind) {
    case Kind::kNone:
      return "none";
    case Kind::kBool:
      return value.integer != 0 ? "true" : "false";
    case Kind::kInteger:
      return "integer " + std::to_string(value.integer);
    case Kind::kBigInteger:
      return "integer of " + std::to_string(value.text.size()) + " bytes";
    case Kind::kReal:
      return "real " + number_text(value.real);
    case Kind::kText:
    case Kind::kLatin1Text:
      return "text " + quote(value.text);
    case Kind::kBytes:
      return std::to_string(value.text.size()) + " bytes";
    case Kind::kTuple:
    case Kind::kList:
      return "list of " + count;
    case Kind::kSet:
      return "set of " + count;
    case Kind::kGlobal:
      return text_of(*value.global);
    case Kind::kStorageId:
      return "storage";
    case Kind::kDict:
      return mapping_text(pickle, value);
    case Kind::kObject:
      return pickle.is_mapping(value) ? mapping_text(pickle, value) : object_text(pickle, value);
  }
  return "";
}

}  // namespace tessera::pickle
