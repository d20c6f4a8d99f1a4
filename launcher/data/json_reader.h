#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace tessera::data {

using Json = nlohmann::json;

/// Runs `body`; a DataError from it gets `place()` in front. The place is only built when needed.
template <typename Place, typename Body>
decltype(auto) at_place(Place&& place, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const DataError& error) {
    throw DataError(place() + ": " + error.what());
  }
}

/// Parses a file; see nlohmann's documentation for `callback`, which may throw and may discard
/// what it has used, so that a large file never lies in memory as a whole.
/// `progress()` says how far the callback has come; it is part of the error for broken JSON.
/// Throws DataError with file, line, column and byte.
Json parse_json_file(const std::filesystem::path& file, const Json::parser_callback_t& callback,
                     const std::function<std::string()>& progress);

/// What a value is, for "got ..": "null", "the string \"x\"", "a list of 3", "an object".
std::string describe(const Json& value);

/// The same of text that is in memory; `name` takes the place of the file in errors.
Json parse_json_text(const std::string& name, std::string_view text,
                     const Json::parser_callback_t& callback,
                     const std::function<std::string()>& progress);

/// What a file is instead of JSON or an image, such as "a Git LFS pointer, which `git lfs pull`
/// replaces by the file"; empty where that cannot be told. in: the file's first bytes.
std::string describe_foreign_file(std::string_view bytes);

/// Each throws DataError without a place (see at_place) if the value is of another type. `what`
/// names the value, as in "'score'". Whole numbers may be written as 1.0.
const Json& as_object(const Json& value, const std::string& what);
const Json& as_list(const Json& value, const std::string& what);
const std::string& as_text(const Json& value, const std::string& what);
int64_t as_integer(const Json& value, const std::string& what);
double as_finite_number(const Json& value, const std::string& what);
/// 0, 1, false or true; 0.0 and 1.0, too.
bool as_flag(const Json& value, const std::string& what);

/// The value of a key that must be there. Throws DataError that lists the keys that are.
const Json& value_of(const Json& object, const char* key);

/// The value of a key, or nullptr if it is absent or null.
const Json* find_value(const Json& object, const char* key);

/// The whole number of a key, or nothing if `value` is no object, or the key is absent or holds
/// anything else.
std::optional<int64_t> find_integer(const Json& value, const char* key);

}  // namespace tessera::data
