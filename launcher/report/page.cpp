#include "launcher/report/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "launcher/report/chart.h"
#include "launcher/report/differences.h"

namespace tessera::report {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #1e293b; }
body { max-width: 1180px; margin: 0 auto; padding: 24px; background: #fff; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 32px 0 8px; }
table { border-collapse: collapse; } th, td { padding: 4px 14px 4px 0; text-align: right; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #cbd5e1; }
tbody td { border-bottom: 1px solid #e2e8f0; } .summary tbody tr:first-child { font-weight: 600; }
.diagnostics { margin-bottom: 14px; font-size: 13px; }
.differences { font-size: 12px; } .differences td { max-width: 420px; overflow-wrap: anywhere; }
.charts, .videos { display: flex; flex-wrap: wrap; gap: 16px; }
.chart { width: 560px; max-width: 100%; } .chart .title { font-size: 13px; font-weight: 600; }
.chart .tick { font-size: 11px; fill: #475569; } .chart .label { font-size: 11px; fill: #64748b; }
.chart .grid { stroke: #e2e8f0; stroke-width: 1; }
.video { border: 1px solid #e2e8f0; border-radius: 8px; padding: 10px; }
.video .pair { display: flex; gap: 8px; } .video figure { margin: 0; }
.video img { width: 260px; image-rendering: auto; display: block; border-radius: 4px; }
.video figcaption { font-size: 12px; color: #64748b; } .video header { font-size: 13px; }
.video input { width: 300px; max-width: 60%; vertical-align: middle; }
.video button { font: inherit; font-size: 13px; min-width: 64px; }
pre { background: #f8fafc; padding: 12px; overflow: auto; font-size: 12px; }
.note { color: #64748b; font-size: 13px; }
)";

constexpr const char* kScript = R"(
for (const video of document.querySelectorAll('.video')) {
  const frames = JSON.parse(video.querySelector('script').textContent);
  const [truth, found] = video.querySelectorAll('img');
  const slider = video.querySelector('input'), button = video.querySelector('button');
  const label = video.querySelector('.frame');
  let timer = null;
  const show = (i) => {
    slider.value = i;
    truth.src = 'data:image/jpeg;base64,' + frames.truth[i];
    found.src = 'data:image/jpeg;base64,' + frames.found[i];
    label.textContent = 'frame ' + (i + 1) + ' of ' + frames.truth.length;
  };
  const play = (on) => {
    clearInterval(timer);
    timer = on ? setInterval(() => show((+slider.value + 1) % frames.truth.length), 400) : null;
    button.textContent = on ? 'pause' : 'play';
  };
  slider.addEventListener('input', () => { play(false); show(+slider.value); });
  button.addEventListener('click', () => play(timer === null));
  show(0);
  play(frames.truth.length > 1);
}
)";

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string percent_of(const std::vector<std::pair<std::string, double>>& score,
                       const std::string& name) {
  for (const auto& [key, value] : score)
    if (key == name) return value < 0 ? "-" : fixed(100 * value, 1);
  return "";
}

std::string summary(const Page& page) {
  std::string out =
      "<table "
      "class=\"summary\"><thead><tr><th>run</th><th>AP</th><th>AP50</th><th>AP75</th><th>AR1</th>"
      "<th>AR10</th><th>iterations</th><th>training, s</th></tr></thead><tbody>\n";
  for (const ReportedRun& run : page.runs) {
    const auto iterations = run.history.steps.empty() ? 0 : run.history.steps.back().iteration;
    out += "<tr><td>" + html_text(run.name) + "</td>";
    for (const char* name : {"AP", "AP50", "AP75", "AR1", "AR10"})
      out += "<td>" + percent_of(run.score, name) + "</td>";
    out += "<td>" + std::to_string(iterations) + "</td><td>" +
           fixed(run.earlier_seconds + run.history.seconds(), 0) + "</td></tr>\n";
  }
  return out +
         "</tbody></table>\n<p class=\"note\">Scores in percent on videos that no run has "
         "seen. Training counts earlier stages and leaves out validation.</p>\n";
}

/// Mean over windows of logged steps: one step's loss is that of its clips, mostly noise.
Series smoothed_loss(const ReportedRun& run) {
  Series line{run.name, {}, false};
  const auto& steps = run.history.steps;
  const size_t reach = std::max<size_t>(1, steps.size() / 40);
  for (size_t i = 0; i < steps.size(); ++i) {
    const size_t begin = i < reach ? 0 : i - reach, end = std::min(steps.size(), i + reach + 1);
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += steps[j].total;
    line.points.emplace_back(run.earlier_seconds + steps[i].seconds,
                             sum / static_cast<double>(end - begin));
  }
  return line;
}

std::string curves(const Page& page) {
  std::vector<Series> loss, score;
  for (const ReportedRun& run : page.runs) {
    loss.push_back(smoothed_loss(run));
    for (const char* name : {"AP", "AP50"}) {
      Series line{run.name + " " + name, {}, std::string(name) == "AP50"};
      for (const ValidationPoint& point : run.history.validations)
        line.points.emplace_back(run.earlier_seconds + point.seconds, 100 * point.stat(name));
      if (!line.points.empty()) score.push_back(std::move(line));
    }
  }
  return "<div class=\"charts\">\n" +
         svg_chart(score, {.title = "Score on the validation videos",
                           .x_label = "seconds of training",
                           .y_label = "percent"}) +
         svg_chart(loss, {.title = "Training loss (smoothed)",
                          .x_label = "seconds of training",
                          .y_label = "loss",
                          .logarithmic = true}) +
         "</div>\n";
}

/// Where the time of the first run's steps goes; "" where nobody asked for a profile.
std::string timeline(const Page& page) {
  if (page.runs.empty() || page.runs.front().history.splits.empty()) return "";
  const std::pair<const char*, double StepSplit::*> parts[] = {
      {"forward", &StepSplit::forward},
      {"backward", &StepSplit::backward},
      {"exposed communication", &StepSplit::exposed},
      {"data wait", &StepSplit::data},
      {"optimiser", &StepSplit::optimiser}};
  std::vector<Series> lines;
  for (const auto& [name, part] : parts) {
    Series line{name, {}, false};
    for (const StepSplit& split : page.runs.front().history.splits)
      line.points.emplace_back(split.iteration, 1000 * split.*part);
    lines.push_back(std::move(line));
  }
  return "<div class=\"charts\">\n" +
         svg_chart(lines, {.title = "Where a step's time goes (" + page.runs.front().name + ")",
                           .x_label = "iteration",
                           .y_label = "milliseconds"}) +
         "</div>\n";
}

std::string json_list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (size_t i = 0; i < texts.size(); ++i) out += (i == 0 ? "\"" : ",\"") + texts[i] + "\"";
  return out + "]";
}

std::string video_box(const ShownVideo& video) {
  const std::string last = std::to_string(video.truth.size() - 1);
  const std::string first_frame = "data:image/jpeg;base64,";
  return "<div class=\"video\"><header>" + html_text(video.name) + ": AP " +
         fixed(100 * video.ap, 1) + ", mean overlap " + fixed(100 * video.fit, 1) +
         " %</header><div class=\"pair\"><figure><img alt=\"ground truth\" src=\"" + first_frame +
         video.truth.front() + "\"><figcaption>ground truth</figcaption></figure>" +
         "<figure><img alt=\"found\" src=\"" + first_frame + video.found.front() +
         "\"><figcaption>found</figcaption></figure></div>" +
         "<button>play</button> <input type=\"range\" min=\"0\" max=\"" + last +
         "\" value=\"0\"> <span class=\"note frame\"></span>" +
         "<script type=\"application/json\">{\"truth\":" + json_list(video.truth) +
         ",\"found\":" + json_list(video.found) + "}</script></div>\n";
}

std::string video_section(const Page& page, bool best) {
  const size_t begin = best ? 0 : page.best_videos;
  const size_t end = best ? page.best_videos : page.videos.size();
  if (begin >= end) return "";
  std::string out =
      std::string("<h2>") + (best ? "Best" : "Worst") + " videos</h2>\n<div class=\"videos\">\n";
  for (size_t i = begin; i < end; ++i) {
    // The worst first.
    const size_t at = best ? i : end - 1 - (i - begin);
    out += video_box(page.videos[at]);
  }
  return out + "</div>\n";
}

/// As tessera score shows it: fractions in percent, "-" where nothing is defined.
std::string shown(const evaluation::DiagnosticStat& stat) {
  if (stat.value == evaluation::kUndefined) return "-";
  switch (stat.kind) {
    case evaluation::StatKind::kFraction:
      return fixed(100 * stat.value, 1);
    case evaluation::StatKind::kCount:
      return fixed(stat.value, 0);
    default:
      return fixed(stat.value, 2);
  }
}

const evaluation::DiagnosticGroup* group_of(const ReportedRun& run, const std::string& name) {
  for (const evaluation::DiagnosticGroup& group : run.diagnostics)
    if (group.name == name) return &group;
  return nullptr;
}

/// What each class of error costs, of the runs that were scored.
std::string failures(const Page& page) {
  std::vector<std::string> names;
  std::vector<BarGroup> bars;
  for (const ReportedRun& run : page.runs) {
    const evaluation::DiagnosticGroup* gains = group_of(run, "oracle_gain");
    if (!gains) continue;
    BarGroup bar{run.name, {}};
    names.clear();
    for (const evaluation::DiagnosticStat& stat : gains->stats) {
      names.push_back(stat.name);
      bar.values.push_back(stat.value == evaluation::kUndefined ? NAN : 100 * stat.value);
    }
    bars.push_back(std::move(bar));
  }
  const std::string chart = svg_bars(
      names, bars, {.title = "AP gained if one class of error were repaired", .y_label = "AP"});
  return chart.empty() ? "" : "<h2>Failures</h2>\n<div class=\"charts\">\n" + chart + "</div>\n";
}

/// One table for each group of diagnostics, a row for each run that was scored.
std::string diagnostics(const Page& page) {
  const auto scored = std::find_if(page.runs.begin(), page.runs.end(),
                                   [](const ReportedRun& run) { return !run.diagnostics.empty(); });
  if (scored == page.runs.end()) return "";
  std::string out =
      "<h2>Diagnostics</h2>\n<p class=\"note\">Definitions: docs/evaluation.md. Tracking and "
      "identity are of predictions with a score of at least 0.3.</p>\n";
  for (const evaluation::DiagnosticGroup& named : scored->diagnostics) {
    out += "<table class=\"diagnostics\"><thead><tr><th>" + html_text(named.name) + "</th>";
    for (const evaluation::DiagnosticStat& stat : named.stats)
      out += "<th>" + html_text(stat.name) + "</th>";
    out += "</tr></thead><tbody>\n";
    for (const ReportedRun& run : page.runs) {
      const evaluation::DiagnosticGroup* group = group_of(run, named.name);
      if (!group) continue;
      out += "<tr><td>" + html_text(run.name) + "</td>";
      for (const evaluation::DiagnosticStat& stat : group->stats)
        out += "<td>" + shown(stat) + "</td>";
      out += "</tr>\n";
    }
    out += "</tbody></table>\n";
  }
  return out;
}

/// What sets the runs' configurations apart; "" for one run.
std::string differences(const Page& page) {
  std::vector<std::string> texts;
  for (const ReportedRun& run : page.runs) texts.push_back(run.configuration);
  const std::vector<Difference> found = configuration_differences(texts);
  if (found.empty()) return "";
  std::string out = "<h2>Differences</h2>\n<table class=\"differences\"><thead><tr><th>key</th>";
  for (const ReportedRun& run : page.runs) out += "<th>" + html_text(run.name) + "</th>";
  out += "</tr></thead><tbody>\n";
  for (const Difference& difference : found) {
    out += "<tr><td>" + html_text(difference.key) + "</td>";
    for (const std::string& value : difference.values)
      out += "<td>" + (value.empty() ? "-" : html_text(value)) + "</td>";
    out += "</tr>\n";
  }
  return out + "</tbody></table>\n";
}

std::string configurations(const Page& page) {
  std::string out = "<h2>Configuration</h2>\n";
  for (const ReportedRun& run : page.runs)
    if (!run.configuration.empty())
      out += "<details><summary>" + html_text(run.name) + "</summary><pre>" +
             html_text(run.configuration) + "</pre></details>\n";
  return out;
}

}  // namespace

std::string html_page(const Page& page) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" +
         html_text(page.title) +
         "</title><meta name=\"viewport\" content=\"width=device-width\"><style>" + kStyle +
         "</style></head><body>\n<h1>" + html_text(page.title) + "</h1>\n" + summary(page) +
         curves(page) + timeline(page) + failures(page) + diagnostics(page) +
         video_section(page, true) + video_section(page, false) + differences(page) +
         configurations(page) + "<script>" + kScript + "</script>\n</body></html>\n";
}

}  // namespace tessera::report
