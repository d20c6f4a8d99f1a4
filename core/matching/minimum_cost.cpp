#include "core/matching/minimum_cost.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"

namespace tessera {
namespace {

// Assigns every row of a matrix with rows <= columns; returns the column of each row.
template <class Cost>
std::vector<int64_t> assign_rows(const Cost& cost, int64_t rows, int64_t columns) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<double> row_potential(rows, 0.0), column_potential(columns, 0.0);
  std::vector<int64_t> row_of(columns, -1), column_of(rows, -1);
  std::vector<double> distance(columns);
  std::vector<int64_t> came_from(columns);
  std::vector<char> done(columns);
  for (int64_t start = 0; start < rows; ++start) {
    std::fill(distance.begin(), distance.end(), kInfinity);
    std::fill(done.begin(), done.end(), 0);
    int64_t row = start, last = -1;
    double reached = 0.0;
    // Dijkstra over columns on reduced costs, from the unassigned row to the nearest free column.
    while (true) {
      int64_t nearest = -1;
      double best = kInfinity;
      for (int64_t c = 0; c < columns; ++c) {
        if (done[c]) continue;
        const double d = reached + cost(row, c) - row_potential[row] - column_potential[c];
        if (d < distance[c]) {
          distance[c] = d;
          came_from[c] = row;
        }
        if (distance[c] < best || (distance[c] == best && nearest >= 0 && row_of[c] < 0)) {
          best = distance[c];
          nearest = c;
        }
      }
      done[nearest] = 1;
      reached = best;
      if (row_of[nearest] < 0) {
        last = nearest;
        break;
      }
      row = row_of[nearest];
    }
    row_potential[start] += reached;
    for (int64_t c = 0; c < columns; ++c) {
      if (!done[c] || c == last) continue;
      row_potential[row_of[c]] += reached - distance[c];
      column_potential[c] -= reached - distance[c];
    }
    for (int64_t c = last; c >= 0;) {
      const int64_t r = came_from[c];
      row_of[c] = r;
      std::swap(column_of[r], c);  // the column that r had must find another way: none for `start`
    }
  }
  return column_of;
}

}  // namespace

std::vector<std::pair<int64_t, int64_t>> assign_minimum_cost(const double* cost, int64_t rows,
                                                             int64_t columns) {
  for (int64_t i = 0; i < rows * columns; ++i)
    if (!std::isfinite(cost[i]))
      throw RuntimeError("matching cost: expected finite values, got " + std::to_string(cost[i]) +
                         " at row " + std::to_string(i / columns) + ", column " +
                         std::to_string(i % columns) + ". Did the model diverge?");
  std::vector<std::pair<int64_t, int64_t>> pairs;
  if (rows <= columns) {
    const auto column_of =
        assign_rows([&](int64_t r, int64_t c) { return cost[r * columns + c]; }, rows, columns);
    for (int64_t r = 0; r < rows; ++r) pairs.emplace_back(r, column_of[r]);
  } else {
    const auto row_of =
        assign_rows([&](int64_t c, int64_t r) { return cost[r * columns + c]; }, columns, rows);
    for (int64_t c = 0; c < columns; ++c) pairs.emplace_back(row_of[c], c);
    std::sort(pairs.begin(), pairs.end());
  }
  return pairs;
}

}  // namespace tessera
