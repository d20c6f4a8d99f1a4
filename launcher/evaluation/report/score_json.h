#pragma once

#include <string>

#include "launcher/evaluation/score.h"

namespace tessera::evaluation {

/// The numbers as JSON in full precision: {"stats": {name: value}, "per_category": [...]}.
std::string score_json(const ScoreResult& result, Protocol protocol);

}  // namespace tessera::evaluation
