#include "launcher/weights/pickle/tensors.h"

#include <algorithm>

#include "core/error.h"
#include "launcher/weights/pickle/text.h"

namespace tessera::pickle {

/// NumPy's code of a type.
struct ArrayCode {
  std::string_view code;
  ElementType type;
};

namespace {

constexpr size_t kLargestRank = 16;

constexpr ArrayCode kArrayCodes[] = {
    {"f8", ElementType::kFloat64}, {"f4", ElementType::kFloat32}, {"f2", ElementType::kFloat16},
    {"i8", ElementType::kInt64},   {"i4", ElementType::kInt32},   {"i2", ElementType::kInt16},
    {"i1", ElementType::kInt8},    {"u1", ElementType::kUint8},   {"b1", ElementType::kBool}};

bool is_text(const Value& value) {
  return value.kind == Kind::kText || value.kind == Kind::kLatin1Text;
}

/// Strides of a dense array, counted in elements; those of empty arrays do not matter.
std::vector<int64_t> dense_strides(const std::vector<int64_t>& shape, bool is_fortran) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t axis = is_fortran ? i : shape.size() - 1 - i;
    strides[axis] = stride;
    if (__builtin_mul_overflow(stride, std::max<int64_t>(shape[axis], 1), &stride)) stride = 0;
  }
  return strides;
}

}  // namespace

void TensorReader::fail(const std::string& expected, const std::string& got) const {
  throw DataError(file_ + ": tensor " + quote(name_) + ": expected " + expected + ", got " + got +
                  ". The file is damaged or harmful.");
}

const std::vector<ValueId>& TensorReader::items_of_tuple(ValueId id) const {
  static const std::vector<ValueId> kNone;
  return id == kNoValue || pickle_[id].kind != Kind::kTuple ? kNone : pickle_.items_of(pickle_[id]);
}

ValueId TensorReader::argument(ValueId arguments, size_t index, const std::string& what) const {
  const auto& items = items_of_tuple(arguments);
  if (items.size() <= index) fail(what, "nothing");
  return items[index];
}

int64_t TensorReader::number(ValueId id, const std::string& what) const {
  if (pickle_[id].kind != Kind::kInteger || pickle_[id].integer < 0)
    fail(what + " from 0", "another value");
  return pickle_[id].integer;
}

std::vector<int64_t> TensorReader::numbers(ValueId id, const std::string& what) const {
  // torch.Size is a tuple by another name.
  const Global* maker = pickle_.maker(pickle_[id]);
  if (maker != nullptr && maker->name == "Size") id = argument(pickle_[id].arguments, 0, what);
  if (pickle_[id].kind != Kind::kTuple) fail(what + " in a tuple", "another value");
  const auto& items = items_of_tuple(id);
  if (items.size() > kLargestRank)
    fail("at most " + std::to_string(kLargestRank) + " dimensions", std::to_string(items.size()));
  std::vector<int64_t> result;
  for (const ValueId item : items) result.push_back(number(item, what));
  return result;
}

TensorReader::Call TensorReader::call(ValueId id) const {
  // Ends, because values hold no cycle.
  for (;;) {
    const Value& value = pickle_[id];
    Call made{pickle_.maker(value), value.arguments, value.state};
    if (made.maker != nullptr && made.maker->role == Role::kTensorSubclass) {
      const auto& items = items_of_tuple(made.arguments);
      if (items.size() < 3 || pickle_[items[0]].kind != Kind::kGlobal) return {};
      made = {pickle_[items[0]].global, items[2], kNoValue};
    }
    if (made.maker == nullptr || made.maker->role != Role::kParameter) return made;
    const auto& items = items_of_tuple(made.arguments);
    if (items.empty()) return {};
    id = items[0];
  }
}

/// The dtype of a call that makes an array, or kNoValue.
ValueId TensorReader::array_type_of(const Call& made) const {
  const bool is_array = made.maker->role == Role::kArray;
  if (!is_array && made.maker->role != Role::kBufferArray) return kNoValue;
  const auto& items = items_of_tuple(is_array ? made.state : made.arguments);
  const size_t index = is_array ? 2 : 1;
  return items.size() > index ? items[index] : kNoValue;
}

bool TensorReader::is_tensor(ValueId id) const {
  const Call made = call(id);
  if (made.maker == nullptr) return false;
  if (made.maker->role == Role::kTensor) return other_tensor(id).empty();
  const ValueId type = array_type_of(made);
  return type != kNoValue && array_code(type) != nullptr;
}

std::string TensorReader::other_tensor(ValueId id) const {
  const Call made = call(id);
  if (made.maker == nullptr) return "";
  if (made.maker->role == Role::kOtherTensor) return "a tensor of " + text_of(*made.maker);
  if (made.maker->role == Role::kTensor) {
    const auto& items = items_of_tuple(made.arguments);
    const auto view = items.empty() ? views_.end() : views_.find(items[0]);
    if (view == views_.end()) return "";  // read() says what is wrong
    const ElementType type = storages_[view->second.storage].type;
    return is_supported(type) ? "" : "a tensor of " + std::string(element_facts(type).name);
  }
  const ValueId type = array_type_of(made);
  if (type == kNoValue || array_code(type) != nullptr) return "";
  // Numbers that weights do not have: complex, unsigned beyond 8 bits, beyond double. Arrays of
  // texts, times and objects are no tensors.
  const std::string_view code = array_code_text(type);
  constexpr std::string_view kKinds = "cuf";
  if (code.empty() || kKinds.find(code[0]) == std::string_view::npos) return "";
  return "an array of NumPy's type " + quote(code);
}

PickledTensor TensorReader::read(ValueId id, const std::string& name) {
  name_ = name;
  PickledTensor tensor;
  tensor.name = name;
  const Call made = call(id);
  if (made.maker->role == Role::kTensor)
    read_torch(made, tensor);
  else
    read_array(made, tensor);
  return tensor;
}

/// (storage, offset, shape, strides, ...)
void TensorReader::read_torch(const Call& made, PickledTensor& tensor) const {
  const auto found = views_.find(argument(made.arguments, 0, "a storage"));
  if (found == views_.end()) fail("a reference to a storage", "another value");
  const StorageView& view = found->second;
  tensor.storage = view.storage;
  tensor.type = storages_[view.storage].type;
  const int64_t offset = number(argument(made.arguments, 1, "an offset"), "an offset");
  tensor.shape = numbers(argument(made.arguments, 2, "a shape"), "sizes");
  tensor.strides = numbers(argument(made.arguments, 3, "strides"), "strides");
  if (tensor.strides.size() != tensor.shape.size())
    fail(std::to_string(tensor.shape.size()) + " strides, one for each dimension",
         std::to_string(tensor.strides.size()));
  expect_within(tensor, offset, view.count);
  tensor.offset = view.offset + offset;
}

/// _reconstruct(...) with the state (version, shape, dtype, is_fortran, data), or
/// _frombuffer(data, dtype, shape, order).
void TensorReader::read_array(const Call& made, PickledTensor& tensor) {
  const bool is_buffer = made.maker->role == Role::kBufferArray;
  const ValueId from = is_buffer ? made.arguments : made.state;
  const ValueId shape = argument(from, is_buffer ? 2 : 1, "a shape");
  const ValueId type = argument(from, is_buffer ? 1 : 2, "a dtype");
  const Value& order = pickle_[argument(from, 3, "an order of elements")];
  const ValueId data = argument(from, is_buffer ? 0 : 4, "data");
  const bool is_fortran = is_buffer ? is_text(order) && order.text == "F"
                                    : order.kind == Kind::kBool && order.integer != 0;
  tensor.type = array_type(type);
  tensor.storage = array_data(data, tensor.type);
  tensor.shape = numbers(shape, "sizes");
  tensor.strides = dense_strides(tensor.shape, is_fortran);
  // An array has its data for itself, so that no few bytes can stand for many arrays.
  int64_t count = 1;
  for (const int64_t size : tensor.shape)
    if (__builtin_mul_overflow(count, size, &count)) fail("sizes that fit", "larger ones");
  const auto stored =
      static_cast<int64_t>(storages_[tensor.storage].bytes / element_facts(tensor.type).bytes);
  if (stored != count)
    fail(std::to_string(count) + " elements as its shape says", std::to_string(stored));
}

/// "f4" of dtype("f4", ...), or "" of another value.
std::string_view TensorReader::array_code_text(ValueId id) const {
  const Global* maker = pickle_.maker(pickle_[id]);
  if (maker == nullptr || maker->role != Role::kArrayType) return "";
  const auto& items = items_of_tuple(pickle_[id].arguments);
  return items.empty() || !is_text(pickle_[items[0]]) ? "" : pickle_[items[0]].text;
}

/// nullptr for another value and for types that weights do not have.
const ArrayCode* TensorReader::array_code(ValueId id) const {
  const std::string_view code = array_code_text(id);
  const auto* known = std::find_if(std::begin(kArrayCodes), std::end(kArrayCodes),
                                   [&](const ArrayCode& entry) { return entry.code == code; });
  return known == std::end(kArrayCodes) ? nullptr : known;
}

/// The state of a dtype is (version, byte order, ...).
ElementType TensorReader::array_type(ValueId id) const {
  const ArrayCode* code = array_code(id);
  if (code == nullptr) fail("a dtype of floating-point, whole or boolean numbers", "another value");
  const auto& state = items_of_tuple(pickle_[id].state);
  const std::string_view order =
      state.size() > 1 && is_text(pickle_[state[1]]) ? pickle_[state[1]].text : "";
  if (order != "<" && order != "|" && order != "=")
    fail("numbers in the byte order '<' (little-endian)", quote(order));
  return code->type;
}

size_t TensorReader::array_data(ValueId id, ElementType type) {
  const auto known = array_storages_.find({id, type});
  if (known != array_storages_.end()) return known->second;
  PickledStorage storage;
  storage.type = type;
  const Value* value = &pickle_[id];
  const Global* maker = pickle_.maker(*value);
  if (maker != nullptr && maker->role == Role::kEncode) {  // encode(text, "latin1")
    const Value& encoding = pickle_[argument(value->arguments, 1, "an encoding")];
    if (!is_text(encoding) || (encoding.text != "latin1" && encoding.text != "latin-1"))
      fail("bytes that were written as text in Latin-1", "another encoding");
    value = &pickle_[argument(value->arguments, 0, "bytes")];
    storage.is_utf8_text = true;
    if (value->kind != Kind::kText) fail("bytes that were written as text", "another value");
    // One byte for each character.
    storage.bytes =
        static_cast<uint64_t>(std::count_if(value->text.begin(), value->text.end(), [](char c) {
          return (static_cast<uint8_t>(c) & 0xc0) != 0x80;
        }));
    storage.data = value->text;
  } else if (maker != nullptr && maker->role == Role::kBytes) {  // bytes(), bytearray(b"...")
    const auto& items = items_of_tuple(value->arguments);
    if (items.size() > 1 || (items.size() == 1 && pickle_[items[0]].kind != Kind::kBytes))
      fail("bytes", "another value");
    if (!items.empty()) storage.data = pickle_[items[0]].text;
    storage.bytes = storage.data.size();
  } else if (value->kind == Kind::kBytes || value->kind == Kind::kLatin1Text) {
    storage.data = value->text;
    storage.bytes = storage.data.size();
  } else {
    fail("bytes as data", "another value");
  }
  if (storage.bytes % element_facts(type).bytes != 0)
    fail("whole elements of " + std::to_string(element_facts(type).bytes) + " bytes",
         std::to_string(storage.bytes) + " bytes");
  storages_.push_back(storage);
  return array_storages_[{id, type}] = storages_.size() - 1;
}

void TensorReader::expect_within(const PickledTensor& tensor, int64_t offset, int64_t count) const {
  bool is_empty = false, overflows = false;
  int64_t last = offset;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    is_empty = is_empty || tensor.shape[i] == 0;
    int64_t reach = 0;
    overflows = overflows ||
                __builtin_mul_overflow(std::max<int64_t>(tensor.shape[i] - 1, 0), tensor.strides[i],
                                       &reach) ||
                __builtin_add_overflow(last, reach, &last);
  }
  // An empty tensor reaches no element.
  if (overflows || (is_empty ? offset > count : last >= count))
    fail("elements within the storage's " + std::to_string(count), "some beyond it");
}

}  // namespace tessera::pickle
