#pragma once

#include <string_view>

namespace tessera::data {

/// Whether `a` comes before `b` as people count: "frame2" before "frame10". Digits compare by
/// value; names that differ in leading zeros only compare as text, so that the order is strict.
bool natural_less(std::string_view a, std::string_view b);

}  // namespace tessera::data
