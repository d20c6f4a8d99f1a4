#pragma once

#include <string>

#include "launcher/evaluation/score.h"

namespace tessera::evaluation {

/// The numbers as JSON in full precision: {"stats": {name: value}, "per_category": [...]}, and
/// {"diagnostics": {group: {name: value}, "per_category": [...]}} if there are any.
std::string score_json(const ScoreResult& result, Protocol protocol);

}  // namespace tessera::evaluation
