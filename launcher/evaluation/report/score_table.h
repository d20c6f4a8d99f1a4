#pragma once

#include <string>

#include "launcher/evaluation/score.h"

namespace tessera::evaluation {

/// The numbers as a table to be read, in percent, with a row for each category if asked for.
std::string score_table(const ScoreResult& result, bool per_category);

}  // namespace tessera::evaluation
