#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tessera::report {

/// One line of a chart.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (x, y), those that are not finite are left out
  bool dashed = false;
};

struct ChartOptions {
  std::string title = {}, x_label = {}, y_label = {};
  bool logarithmic = false;  // y; points <= 0 are left out
  bool from_zero = true;     // y begins at 0 where it is not logarithmic
};

/// An inline SVG picture of the series, with axes, grid and legend; "" where there is no point.
std::string svg_chart(const std::vector<Series>& series, const ChartOptions& options);

/// One group of bars, such as a run, with a value for each name of the chart; those that are not
/// finite are left out.
struct BarGroup {
  std::string name;
  std::vector<double> values;
};

/// Bars side by side for each name, one a group; "" where there is no finite value.
std::string svg_bars(const std::vector<std::string>& names, const std::vector<BarGroup>& groups,
                     const ChartOptions& options);

/// Text for HTML: & < > " escaped.
std::string html_text(const std::string& text);

}  // namespace tessera::report
