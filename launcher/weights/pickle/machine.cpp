#include "launcher/weights/pickle/machine.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "core/error.h"
#include "launcher/weights/pickle/acyclic.h"
#include "launcher/weights/pickle/escapes.h"
#include "launcher/weights/pickle/text.h"

namespace tessera::pickle {
namespace {

// Numbers are copied as they lie in the file.
static_assert(std::endian::native == std::endian::little);

/// The stack machine of Python's pickle, on inert values.
class Machine {
 public:
  Machine(std::string_view bytes, const PickleOptions& options)
      : bytes_(bytes), options_(options) {}

  Pickle run() {
    while (!is_done_) step();
    pickle_.size = at_;
    check_acyclic(pickle_, kMostNested, options_.file);
    return std::move(pickle_);
  }

 private:
  // ---- errors -----------------------------------------------------------------------------------

  [[noreturn]] void fail(const std::string& expected, const std::string& got) const {
    throw DataError(options_.file + ": byte " + std::to_string(options_.offset + opcode_at_) +
                    ": " + opcode_name_ + ": expected " + expected + ", got " + got +
                    ". The file is damaged or harmful; nothing of it was executed.");
  }

  // ---- bytes ------------------------------------------------------------------------------------

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_)
      fail(std::to_string(count) + " more bytes",
           "the end of the pickle after " + std::to_string(bytes_.size() - at_));
    const std::string_view part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }

  template <class Number>
  Number take_number() {
    Number number;
    std::memcpy(&number, take(sizeof(number)).data(), sizeof(number));
    return number;
  }

  /// Bytes behind a length of the given type. Lengths that are signed in the format are negative in
  /// no pickle; unsigned they are beyond any file.
  template <class Length>
  std::string_view take_counted() {
    return take(take_number<Length>());
  }

  std::string_view take_line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail("a line", "the end of the pickle");
    std::string_view line = take(end - at_);
    ++at_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

  template <class Number>
  Number parse(std::string_view line) const {
    Number number{};
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (error != std::errc() || end != line.data() + line.size())
      fail("a number that fits", quote(line));
    return number;
  }

  // ---- stack and memo ---------------------------------------------------------------------------

  static constexpr ValueId kMark = kNoValue;

  static Value value_of(Kind kind, std::string_view text = {}) {
    Value value;
    value.kind = kind;
    value.text = text;
    return value;
  }
  /// A new value, which the caller puts on the stack or refers to.
  ValueId make(const Value& value) {
    if (pickle_.values.size() >= kMostValues)
      fail("at most " + std::to_string(kMostValues) + " values", "more");
    pickle_.values.push_back(value);
    return static_cast<ValueId>(pickle_.values.size() - 1);
  }
  void push(const Value& value) { stack_.push_back(make(value)); }
  void push(Kind kind) { push(value_of(kind)); }
  void push_text(Kind kind, std::string_view text) {
    if (kind == Kind::kText && !is_utf8(text)) fail("text in UTF-8", "other bytes");
    push(value_of(kind, text));
  }
  void push_integer(int64_t integer) {
    Value value = value_of(Kind::kInteger);
    value.integer = integer;
    push(value);
  }
  void push_bool(bool is_true) {
    Value value = value_of(Kind::kBool);
    value.integer = is_true;
    push(value);
  }
  void push_real(double real) {
    Value value = value_of(Kind::kReal);
    value.real = real;
    push(value);
  }
  void push_container(Kind kind, std::vector<ValueId> items) {
    const ValueId id = make(value_of(kind));
    set_items(id, std::move(items));
    stack_.push_back(id);
  }
  void set_items(ValueId id, std::vector<ValueId> items) {
    if (items.empty()) return;
    items.shrink_to_fit();
    pickle_.values[id].items = static_cast<uint32_t>(pickle_.items.size());
    pickle_.items.push_back(std::move(items));
  }
  void add_items(ValueId id, const std::vector<ValueId>& items) {
    Value& value = pickle_.values[id];
    if (value.items == kNoValue) return set_items(id, items);
    auto& all = pickle_.items[value.items];
    all.insert(all.end(), items.begin(), items.end());
  }

  ValueId top() const {
    if (stack_.empty() || stack_.back() == kMark) fail("a value on the stack", "none");
    return stack_.back();
  }
  ValueId pop() {
    const ValueId id = top();
    stack_.pop_back();
    return id;
  }
  std::vector<ValueId> pop_to_mark() {
    const auto mark = std::find(stack_.rbegin(), stack_.rend(), kMark);
    if (mark == stack_.rend()) fail("a MARK on the stack", "none");
    std::vector<ValueId> items(mark.base(), stack_.end());
    stack_.erase(mark.base() - 1, stack_.end());
    return items;
  }
  std::vector<ValueId> pop_many(size_t count) {
    std::vector<ValueId> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }

  void remember(uint64_t index) {
    // Pickles count upwards, a few bytes for each index.
    if (index >= bytes_.size() || index >= kMostValues)
      fail("an index within the pickle's size", std::to_string(index));
    if (index >= memo_.size()) memo_.resize(index + 1, kNoValue);
    if (memo_[index] == kNoValue) ++memo_count_;
    memo_[index] = top();
  }
  void recall(uint64_t index) {
    if (index >= memo_.size() || memo_[index] == kNoValue)
      fail("an index that was stored before", std::to_string(index));
    stack_.push_back(memo_[index]);
  }

  // ---- what opcodes do --------------------------------------------------------------------------

  const Value& expect_kind(ValueId id, Kind kind, const std::string& what) const {
    const Value& value = pickle_[id];
    if (value.kind != kind) fail(what, "another value");
    return value;
  }

  void push_global(std::string_view module, std::string_view name) {
    const Global* global = find_global(module, name);
    if (global == nullptr) {
      pickle_.inert.push_back({module, name, Role::kInert});
      global = &pickle_.inert.back();
    }
    if (runs_code(module, name))
      throw DataError(
          options_.file + ": byte " + std::to_string(options_.offset + opcode_at_) + ": " +
          opcode_name_ + ": expected no global that runs code, got '" + text_of(*global) +
          "'. Nothing was executed. If you trust the file, save its state_dict alone (names and "
          "tensors) with the library that wrote it, and use that.");
    Value value = value_of(Kind::kGlobal);
    value.global = global;
    push(value);
  }

  void push_object(ValueId callable, ValueId arguments) {
    expect_kind(callable, Kind::kGlobal, "a global to make an object with");
    expect_kind(arguments, Kind::kTuple, "arguments in a tuple");
    Value value = value_of(Kind::kObject);
    value.callable = callable;
    value.arguments = arguments;
    push(value);
    if (pickle_.is_mapping(pickle_[top()])) take_entries_from(arguments);
  }

  /// Python 2 wrote OrderedDict([[key, value], ...]), a list of pairs in place of SETITEMS.
  void take_entries_from(ValueId arguments) {
    const std::vector<ValueId> given = pickle_.items_of(pickle_[arguments]);
    if (given.empty() || pickle_[given[0]].kind != Kind::kList) return;
    std::vector<ValueId> entries;
    for (const ValueId id : pickle_.items_of(pickle_[given[0]])) {
      const Value& pair = pickle_[id];
      const auto& parts = pickle_.items_of(pair);
      if ((pair.kind != Kind::kList && pair.kind != Kind::kTuple) || parts.size() != 2)
        fail("pairs of a key and a value", "another value");
      entries.insert(entries.end(), parts.begin(), parts.end());
    }
    // Written once, a pair takes several bytes; a list that is used again and again must not grow
    // memory beyond the file.
    entries_copied_ += entries.size();
    if (entries_copied_ > bytes_.size()) fail("each list of pairs once", "one many times");
    add_items(top(), entries);
  }

  ValueId make_tuple(std::vector<ValueId> items) {
    const ValueId id = make(value_of(Kind::kTuple));
    set_items(id, std::move(items));
    return id;
  }

  void push_storage_id(ValueId id) {
    if (!options_.with_storages)
      fail("no reference to a storage outside of PyTorch's files", "one");
    Value value = value_of(Kind::kStorageId);
    value.arguments = id;
    push(value);
    pickle_.storage_ids.push_back(stack_.back());
  }

  void set_entries(const std::vector<ValueId>& entries) {
    const ValueId target = top();
    if (!pickle_.is_mapping(pickle_[target]) && !pickle_.is_inert(pickle_[target]))
      fail("a dict to fill", "another value");
    if (entries.size() % 2 != 0) fail("a value for every key", "an odd number of them");
    add_items(target, entries);
  }
  void append(const std::vector<ValueId>& items, Kind kind, const std::string& what) {
    const ValueId target = top();
    // Items of a list or set of another class (collections.deque): nobody needs them.
    if (pickle_.is_inert(pickle_[target])) return;
    expect_kind(target, kind, what);
    add_items(target, items);
  }

  void build() {
    const ValueId state = pop();
    Value& value = pickle_.values[top()];
    if (value.kind != Kind::kObject || value.state != kNoValue)
      fail("an object without a state", "another value");
    value.state = state;
  }

  /// A line whose text is kept, because the file has it in another form.
  void push_decoded(Kind kind, std::string text) {
    pickle_.decoded.push_back(std::move(text));
    push_text(kind, pickle_.decoded.back());
  }
  Complaint complaint() const {
    return [this](const std::string& expected, const std::string& got) { fail(expected, got); };
  }
  void push_quoted_line() {
    push_decoded(Kind::kLatin1Text, text_of_repr(take_line(), complaint()));
  }
  void push_escaped_line() {
    push_decoded(Kind::kText, text_of_escaped_latin1(take_line(), complaint()));
  }

  /// Little-endian two's complement of any length.
  void push_long(std::string_view bytes) {
    if (bytes.size() > sizeof(int64_t)) {
      push(value_of(Kind::kBigInteger, bytes));
      return;
    }
    const bool is_negative = !bytes.empty() && static_cast<int8_t>(bytes.back()) < 0;
    int64_t integer = is_negative ? -1 : 0;
    if (!bytes.empty()) std::memcpy(&integer, bytes.data(), bytes.size());
    push_integer(integer);
  }

  void push_long_line() {
    std::string_view line = take_line();
    if (line.ends_with('L')) line.remove_suffix(1);
    push_integer(parse<int64_t>(line));
  }

  void push_integer_line() {
    const std::string_view line = take_line();
    if (line == "00" || line == "01")
      push_bool(line == "01");
    else
      push_integer(parse<int64_t>(line));
  }

  void push_real_big_endian() {
    push_real(std::bit_cast<double>(__builtin_bswap64(take_number<uint64_t>())));
  }

  void append_one() {
    const ValueId item = pop();
    append({item}, Kind::kList, "a list to fill");
  }

  void push_dict() {
    std::vector<ValueId> entries = pop_to_mark();
    if (entries.size() % 2 != 0) fail("a value for every key", "an odd number of them");
    push_container(Kind::kDict, std::move(entries));
  }

  void pop_one() {
    if (stack_.empty()) fail("a value on the stack", "none");
    stack_.pop_back();
  }

  void push_global_lines() {
    const std::string_view module = take_line(), name = take_line();
    push_global(module, name);
  }
  void push_global_of_stack() {
    const ValueId name = pop(), module = pop();
    push_global(expect_kind(module, Kind::kText, "a module's name").text,
                expect_kind(name, Kind::kText, "a global's name").text);
  }

  void reduce() {
    const ValueId arguments = pop(), callable = pop();
    push_object(callable, arguments);
  }
  void reduce_with_keywords() {
    const ValueId keywords = pop();
    const bool has_some =
        expect_kind(keywords, Kind::kDict, "keywords in a dict").items != kNoValue;
    reduce();
    if (has_some && !pickle_.is_inert(pickle_[top()])) fail("no keywords", "some");
  }
  /// The class in two lines, or first above the mark; then its arguments.
  void push_instance(ValueId callable, std::vector<ValueId> arguments) {
    push_object(callable, make_tuple(std::move(arguments)));
  }
  void push_instance_of_lines() {
    push_global_lines();
    const ValueId callable = pop();
    push_instance(callable, pop_to_mark());
  }
  void push_instance_of_stack() {
    std::vector<ValueId> arguments = pop_to_mark();
    if (arguments.empty()) fail("a class above the mark", "none");
    const ValueId callable = arguments.front();
    arguments.erase(arguments.begin());
    push_instance(callable, std::move(arguments));
  }

  void check_protocol() {
    const int protocol = take_number<uint8_t>();
    if (protocol > kNewestProtocol)
      fail("a protocol from 0 to " + std::to_string(kNewestProtocol), std::to_string(protocol));
  }
  void check_frame() {
    const auto size = take_number<uint64_t>();
    if (size > bytes_.size() - at_)
      fail("a frame of at most " + std::to_string(bytes_.size() - at_) + " bytes",
           std::to_string(size));
  }
  void stop() {
    pickle_.root = pop();
    if (!stack_.empty()) fail("one value at the end", "more");
    is_done_ = true;
  }
  [[noreturn]] void refuse_extension() const { fail("globals by name", "a number in their place"); }
  [[noreturn]] void refuse_buffer() const {
    fail("all data in the file", "a buffer outside of it");
  }
  [[noreturn]] void refuse_text_id() const { fail("a reference to a storage", "one in text"); }

  struct Opcode {
    uint8_t code;
    const char* name;
    void (*run)(Machine& m);
  };
  static const Opcode kOpcodes[];

  void step() {
    static const std::array<const Opcode*, 256> kByCode = [] {
      std::array<const Opcode*, 256> table{};
      for (const Opcode* opcode = kOpcodes; opcode->name != nullptr; ++opcode)
        table[opcode->code] = opcode;
      return table;
    }();
    opcode_at_ = at_;
    opcode_name_ = "opcode";
    const auto code = take_number<uint8_t>();
    const Opcode* opcode = kByCode[code];
    if (opcode == nullptr) fail("one of the protocols 0 to 5", std::to_string(code));
    opcode_name_ = opcode->name;
    opcode->run(*this);
  }

  std::string_view bytes_;
  const PickleOptions& options_;
  Pickle pickle_;
  std::vector<ValueId> stack_;  // kMark among the values
  std::vector<ValueId> memo_;
  uint64_t memo_count_ = 0;
  size_t entries_copied_ = 0;
  size_t at_ = 0, opcode_at_ = 0;
  const char* opcode_name_ = "opcode";
  bool is_done_ = false;
};

const Machine::Opcode Machine::kOpcodes[] = {
    // Numbers.
    {'I', "INT", [](Machine& m) { m.push_integer_line(); }},
    {'J', "BININT", [](Machine& m) { m.push_integer(m.take_number<int32_t>()); }},
    {'K', "BININT1", [](Machine& m) { m.push_integer(m.take_number<uint8_t>()); }},
    {'M', "BININT2", [](Machine& m) { m.push_integer(m.take_number<uint16_t>()); }},
    {'L', "LONG", [](Machine& m) { m.push_long_line(); }},
    {0x8a, "LONG1", [](Machine& m) { m.push_long(m.take_counted<uint8_t>()); }},
    {0x8b, "LONG4", [](Machine& m) { m.push_long(m.take_counted<uint32_t>()); }},
    {'F', "FLOAT", [](Machine& m) { m.push_real(m.parse<double>(m.take_line())); }},
    {'G', "BINFLOAT", [](Machine& m) { m.push_real_big_endian(); }},
    {'N', "NONE", [](Machine& m) { m.push(Kind::kNone); }},
    {0x88, "NEWTRUE", [](Machine& m) { m.push_bool(true); }},
    {0x89, "NEWFALSE", [](Machine& m) { m.push_bool(false); }},
    // Texts.
    {'S', "STRING", [](Machine& m) { m.push_quoted_line(); }},
    {'T', "BINSTRING",
     [](Machine& m) { m.push_text(Kind::kLatin1Text, m.take_counted<uint32_t>()); }},
    {'U', "SHORT_BINSTRING",
     [](Machine& m) { m.push_text(Kind::kLatin1Text, m.take_counted<uint8_t>()); }},
    {'B', "BINBYTES", [](Machine& m) { m.push_text(Kind::kBytes, m.take_counted<uint32_t>()); }},
    {'C', "SHORT_BINBYTES",
     [](Machine& m) { m.push_text(Kind::kBytes, m.take_counted<uint8_t>()); }},
    {0x8e, "BINBYTES8", [](Machine& m) { m.push_text(Kind::kBytes, m.take_counted<uint64_t>()); }},
    {0x96, "BYTEARRAY8", [](Machine& m) { m.push_text(Kind::kBytes, m.take_counted<uint64_t>()); }},
    {'V', "UNICODE", [](Machine& m) { m.push_escaped_line(); }},
    {'X', "BINUNICODE", [](Machine& m) { m.push_text(Kind::kText, m.take_counted<uint32_t>()); }},
    {0x8c, "SHORT_BINUNICODE",
     [](Machine& m) { m.push_text(Kind::kText, m.take_counted<uint8_t>()); }},
    {0x8d, "BINUNICODE8", [](Machine& m) { m.push_text(Kind::kText, m.take_counted<uint64_t>()); }},
    // Containers.
    {']', "EMPTY_LIST", [](Machine& m) { m.push(Kind::kList); }},
    {'l', "LIST", [](Machine& m) { m.push_container(Kind::kList, m.pop_to_mark()); }},
    {'a', "APPEND", [](Machine& m) { m.append_one(); }},
    {'e', "APPENDS", [](Machine& m) { m.append(m.pop_to_mark(), Kind::kList, "a list to fill"); }},
    {')', "EMPTY_TUPLE", [](Machine& m) { m.push(Kind::kTuple); }},
    {'t', "TUPLE", [](Machine& m) { m.push_container(Kind::kTuple, m.pop_to_mark()); }},
    {0x85, "TUPLE1", [](Machine& m) { m.push_container(Kind::kTuple, m.pop_many(1)); }},
    {0x86, "TUPLE2", [](Machine& m) { m.push_container(Kind::kTuple, m.pop_many(2)); }},
    {0x87, "TUPLE3", [](Machine& m) { m.push_container(Kind::kTuple, m.pop_many(3)); }},
    {'}', "EMPTY_DICT", [](Machine& m) { m.push(Kind::kDict); }},
    {'d', "DICT", [](Machine& m) { m.push_dict(); }},
    {'s', "SETITEM", [](Machine& m) { m.set_entries(m.pop_many(2)); }},
    {'u', "SETITEMS", [](Machine& m) { m.set_entries(m.pop_to_mark()); }},
    {0x8f, "EMPTY_SET", [](Machine& m) { m.push(Kind::kSet); }},
    {0x90, "ADDITEMS", [](Machine& m) { m.append(m.pop_to_mark(), Kind::kSet, "a set to fill"); }},
    {0x91, "FROZENSET", [](Machine& m) { m.push_container(Kind::kSet, m.pop_to_mark()); }},
    // The stack and the memo.
    {'0', "POP", [](Machine& m) { m.pop_one(); }},
    {'1', "POP_MARK", [](Machine& m) { m.pop_to_mark(); }},
    {'2', "DUP", [](Machine& m) { m.stack_.push_back(m.top()); }},
    {'(', "MARK", [](Machine& m) { m.stack_.push_back(kMark); }},
    {'g', "GET", [](Machine& m) { m.recall(m.parse<uint64_t>(m.take_line())); }},
    {'h', "BINGET", [](Machine& m) { m.recall(m.take_number<uint8_t>()); }},
    {'j', "LONG_BINGET", [](Machine& m) { m.recall(m.take_number<uint32_t>()); }},
    {'p', "PUT", [](Machine& m) { m.remember(m.parse<uint64_t>(m.take_line())); }},
    {'q', "BINPUT", [](Machine& m) { m.remember(m.take_number<uint8_t>()); }},
    {'r', "LONG_BINPUT", [](Machine& m) { m.remember(m.take_number<uint32_t>()); }},
    {0x94, "MEMOIZE", [](Machine& m) { m.remember(m.memo_count_); }},
    // Globals and objects.
    {'c', "GLOBAL", [](Machine& m) { m.push_global_lines(); }},
    {0x93, "STACK_GLOBAL", [](Machine& m) { m.push_global_of_stack(); }},
    {'R', "REDUCE", [](Machine& m) { m.reduce(); }},
    {0x81, "NEWOBJ", [](Machine& m) { m.reduce(); }},
    {0x92, "NEWOBJ_EX", [](Machine& m) { m.reduce_with_keywords(); }},
    {'i', "INST", [](Machine& m) { m.push_instance_of_lines(); }},
    {'o', "OBJ", [](Machine& m) { m.push_instance_of_stack(); }},
    {'b', "BUILD", [](Machine& m) { m.build(); }},
    {'P', "PERSID", [](Machine& m) { m.refuse_text_id(); }},
    {'Q', "BINPERSID", [](Machine& m) { m.push_storage_id(m.pop()); }},
    {0x82, "EXT1", [](Machine& m) { m.refuse_extension(); }},
    {0x83, "EXT2", [](Machine& m) { m.refuse_extension(); }},
    {0x84, "EXT4", [](Machine& m) { m.refuse_extension(); }},
    // The rest.
    {0x80, "PROTO", [](Machine& m) { m.check_protocol(); }},
    {0x95, "FRAME", [](Machine& m) { m.check_frame(); }},
    {0x97, "NEXT_BUFFER", [](Machine& m) { m.refuse_buffer(); }},
    {0x98, "READONLY_BUFFER", [](Machine& m) { m.refuse_buffer(); }},
    {'.', "STOP", [](Machine& m) { m.stop(); }},
    {0, nullptr, nullptr},
};

}  // namespace

Pickle read_pickle(std::string_view bytes, const PickleOptions& options) {
  return Machine(bytes, options).run();
}

}  // namespace tessera::pickle
