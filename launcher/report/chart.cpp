#include "launcher/report/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace tessera::report {
namespace {

constexpr double kWidth = 560, kHeight = 300;
constexpr double kLeft = 56, kRight = 12, kTop = 54, kBottom = 44;
constexpr std::array<const char*, 6> kColours{"#2563eb", "#dc2626", "#059669",
                                              "#d97706", "#7c3aed", "#475569"};

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

/// A step of 1, 2 or 5 times a power of ten that cuts `range` into at most `count` parts.
double tick_step(double range, int count) {
  const double rough = range / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (power * factor >= rough) return power * factor;
  return 10 * power;
}

std::string text(double x, double y, const char* anchor, const char* style,
                 const std::string& words) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor +
         "\" class=\"" + style + "\">" + html_text(words) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2) {
  return "<line class=\"grid\" x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" +
         number(x2) + "\" y2=\"" + number(y2) + "\"/>\n";
}

std::string opening(const ChartOptions& options) {
  return "<svg class=\"chart\" viewBox=\"0 0 " + number(kWidth) + " " + number(kHeight) +
         "\" role=\"img\" aria-label=\"" + html_text(options.title) + "\">\n" +
         text(kLeft, 16, "start", "title", options.title);
}

struct Axis {
  double low = 0, high = 1;
  double from = 0, to = 1;  // pixels
  double pixel(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

class Chart {
 public:
  Chart(const std::vector<Series>& series, const ChartOptions& options) : options_(options) {
    double x_low = kInfinity, x_high = -kInfinity, y_low = kInfinity, y_high = -kInfinity;
    for (const Series& one : series) {
      Series kept = one;
      kept.points.clear();
      for (const auto& [x, y] : one.points) {
        if (!std::isfinite(x) || !std::isfinite(y) || (options.logarithmic && y <= 0)) continue;
        const double shown = options.logarithmic ? std::log10(y) : y;
        kept.points.emplace_back(x, shown);
        x_low = std::min(x_low, x);
        x_high = std::max(x_high, x);
        y_low = std::min(y_low, shown);
        y_high = std::max(y_high, shown);
      }
      series_.push_back(std::move(kept));
    }
    is_empty_ = !(x_low <= x_high);
    if (is_empty_) return;
    if (options.from_zero && !options.logarithmic) y_low = std::min(0.0, y_low);
    x_ = {std::min(0.0, x_low), x_high > 0 ? x_high : 1, kLeft, kWidth - kRight};
    const double room = y_high > y_low ? 0.05 * (y_high - y_low) : 0.5;
    y_ = {y_low, y_high + room, kHeight - kBottom, kTop};
  }

  std::string svg() const {
    if (is_empty_) return "";
    std::string out = opening(options_);
    add_grid(out);
    for (size_t i = 0; i < series_.size(); ++i) add_line(out, i);
    out += text((kLeft + kWidth - kRight) / 2, kHeight - 6, "middle", "label", options_.x_label);
    return out + "</svg>\n";
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  void add_grid(std::string& out) const {
    const double x_step = tick_step(x_.high - x_.low, 7);
    for (double x = std::ceil(x_.low / x_step) * x_step; x <= x_.high * 1.0001; x += x_step) {
      out += line(x_.pixel(x), y_.from, x_.pixel(x), y_.to);
      out += text(x_.pixel(x), y_.from + 16, "middle", "tick", number(x));
    }
    for (const double y : y_ticks()) {
      out += line(x_.from, y_.pixel(y), x_.to, y_.pixel(y));
      out += text(x_.from - 6, y_.pixel(y) + 4, "end", "tick",
                  number(options_.logarithmic ? std::pow(10.0, y) : y));
    }
    out += text(x_.from - 6, kTop - 10, "end", "label", options_.y_label);
  }

  /// Where the y axis is labelled, as it is drawn: logarithms of 1, 2 and 5 times powers of ten, or
  /// even steps.
  std::vector<double> y_ticks() const {
    std::vector<double> ticks;
    if (options_.logarithmic) {
      for (double power = std::floor(y_.low); power <= y_.high; ++power)
        for (const double factor : {1.0, 2.0, 5.0})
          if (const double y = power + std::log10(factor); y >= y_.low && y <= y_.high)
            ticks.push_back(y);
      return ticks;
    }
    const double step = tick_step(y_.high - y_.low, 6);
    for (double y = std::ceil(y_.low / step) * step; y <= y_.high; y += step) ticks.push_back(y);
    return ticks;
  }

  void add_line(std::string& out, size_t i) const {
    const Series& one = series_[i];
    if (one.points.empty()) return;
    const std::string colour = kColours[i % kColours.size()];
    const std::string dash = one.dashed ? " stroke-dasharray=\"5 4\"" : "";
    out += "<polyline fill=\"none\" stroke=\"" + colour + "\" stroke-width=\"1.8\"" + dash +
           " points=\"";
    for (const auto& [x, y] : one.points)
      out += number(x_.pixel(x)) + "," + number(y_.pixel(y)) + " ";
    out += "\"/>\n";
    const double row = 34, left = kLeft + 130 * static_cast<double>(i);
    out += "<line stroke=\"" + colour + "\" stroke-width=\"3\"" + dash + " x1=\"" + number(left) +
           "\" y1=\"" + number(row - 4) + "\" x2=\"" + number(left + 20) + "\" y2=\"" +
           number(row - 4) + "\"/>\n";
    out += text(left + 26, row, "start", "tick", one.name);
  }

  const ChartOptions& options_;
  std::vector<Series> series_;
  Axis x_, y_;
  bool is_empty_ = true;
};

/// Bars side by side for each name.
class Bars {
 public:
  Bars(const std::vector<std::string>& names, const std::vector<BarGroup>& groups,
       const ChartOptions& options)
      : names_(names), groups_(groups), options_(options) {
    double low = 0, high = 0;
    for (const BarGroup& group : groups)
      for (const double value : group.values) {
        if (!std::isfinite(value)) continue;
        is_empty_ = false;
        low = std::min(low, value);
        high = std::max(high, value);
      }
    const double room = high > low ? 0.05 * (high - low) : 1;
    y_ = {low < 0 ? low - room : 0, high + room, kHeight - kBottom, kTop};
  }

  std::string svg() const {
    if (is_empty_) return "";
    std::string out = opening(options_);
    const double step = tick_step(y_.high - y_.low, 6);
    for (double y = std::ceil(y_.low / step) * step; y <= y_.high; y += step) {
      out += line(kLeft, y_.pixel(y), kWidth - kRight, y_.pixel(y));
      out += text(kLeft - 6, y_.pixel(y) + 4, "end", "tick", number(y));
    }
    out += text(kLeft - 6, kTop - 10, "end", "label", options_.y_label);
    const double slot = (kWidth - kRight - kLeft) / static_cast<double>(names_.size());
    const double bar = 0.8 * slot / static_cast<double>(groups_.size());
    for (size_t n = 0; n < names_.size(); ++n) {
      const double left = kLeft + slot * (static_cast<double>(n) + 0.1);
      for (size_t g = 0; g < groups_.size(); ++g)
        add_bar(out, left + bar * static_cast<double>(g), bar, g, n);
      out += text(left + 0.4 * slot, y_.from + 16, "middle", "tick", names_[n]);
    }
    for (size_t g = 0; g < groups_.size(); ++g) {
      const double row = 34, left = kLeft + 130 * static_cast<double>(g);
      out += rectangle(left, row - 9, 12, 9, g) + "/>\n";
      out += text(left + 18, row, "start", "tick", groups_[g].name);
    }
    return out + "</svg>\n";
  }

 private:
  static std::string rectangle(double x, double y, double width, double height, size_t group) {
    return "<rect fill=\"" + std::string(kColours[group % kColours.size()]) + "\" x=\"" +
           number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(width) + "\" height=\"" +
           number(height) + "\"";
  }

  void add_bar(std::string& out, double left, double width, size_t group, size_t name) const {
    const double value = groups_[group].values.at(name);
    if (!std::isfinite(value)) return;
    const double zero = y_.pixel(0), end = y_.pixel(value);
    // No bar is so small that nobody sees whose it is.
    out += rectangle(left, std::min(zero, end), width, std::max(1.0, std::abs(end - zero)), group) +
           "><title>" +
           html_text(groups_[group].name + ", " + names_[name] + ": " + number(value)) +
           "</title></rect>\n";
  }

  const std::vector<std::string>& names_;
  const std::vector<BarGroup>& groups_;
  const ChartOptions& options_;
  Axis y_;
  bool is_empty_ = true;
};

}  // namespace

std::string svg_chart(const std::vector<Series>& series, const ChartOptions& options) {
  return Chart(series, options).svg();
}

std::string svg_bars(const std::vector<std::string>& names, const std::vector<BarGroup>& groups,
                     const ChartOptions& options) {
  return Bars(names, groups, options).svg();
}

std::string html_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

}  // namespace tessera::report
