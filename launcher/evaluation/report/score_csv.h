#pragma once

#include <string>

#include "launcher/evaluation/score.h"

namespace tessera::evaluation {

/// The numbers as comma-separated values (RFC 4180 with line feeds): a header, a row for each
/// category by ascending id, and a last row `all` whose category_id is empty. Columns: category_id,
/// category, num_gt (ground truth tracks that count), then the stats by name and the
/// diagnostics as group.name, as fractions in full precision, -1 where there is no ground truth.
std::string score_csv(const ScoreResult& result);

}  // namespace tessera::evaluation
