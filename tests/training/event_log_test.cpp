#include "launcher/event_log.h"

#include <gtest/gtest.h>

#include <limits>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/distributed/world.h"
#include "launcher/rank_file.h"
#include "launcher/training/progress.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::read_file;
using test_support::TemporaryFolder;
using test_support::write_file;
using Json = nlohmann::ordered_json;

std::vector<Json> lines_of(const std::filesystem::path& file) {
  std::istringstream text(read_file(file));
  std::vector<Json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

TEST(EventLog, WritesAnObjectALine) {
  TemporaryFolder folder;
  const World world;
  {
    EventLog log;
    log.open(folder / "log", world, "tessera train a.toml", {{"experiment", "a.toml"}});
    log.write(EventLog::Level::warning, "odd", "two\nlines, a \xff and a \"quote\"",
              {{"loss", std::numeric_limits<double>::quiet_NaN()}, {"iteration", 7}});
    log.end("x.jpg: expected an image", 4);
  }
  const auto lines = lines_of(folder / "log.jsonl");
  ASSERT_EQ(lines.size(), 4u);
  for (const Json& line : lines) {
    EXPECT_TRUE(std::regex_match(line["time"].get<std::string>(),
                                 std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")))
        << line["time"];
    EXPECT_EQ(line["rank"], 0);
    EXPECT_EQ(line["host"], world.host());
  }
  EXPECT_EQ(lines[0]["level"], "info");
  EXPECT_EQ(lines[0]["event"], "start");
  EXPECT_EQ(lines[0]["message"], "tessera train a.toml");
  EXPECT_EQ(lines[0]["experiment"], "a.toml");
  EXPECT_EQ(lines[0]["ranks"], 1);
  EXPECT_EQ(lines[1]["level"], "warning");
  EXPECT_EQ(lines[1]["event"], "odd");
  EXPECT_EQ(lines[1]["message"], "two\nlines, a \xef\xbf\xbd and a \"quote\"");
  EXPECT_TRUE(lines[1]["loss"].is_null());
  EXPECT_EQ(lines[1]["iteration"], 7);
  EXPECT_EQ(lines[2]["level"], "error");
  EXPECT_EQ(lines[2]["event"], "error");
  EXPECT_EQ(lines[2]["message"], "x.jpg: expected an image");
  EXPECT_EQ(lines[2]["exit_code"], 4);
  EXPECT_EQ(lines[3]["event"], "end");
  EXPECT_EQ(lines[3]["exit_code"], 4);
  EXPECT_GE(lines[3]["seconds"].get<double>(), 0);
}

TEST(EventLog, GoesOnAfterALineThatAKillCutShort) {
  TemporaryFolder folder;
  const auto file = folder / "runs" / "log.jsonl";
  {
    EventLog log;
    log.open(folder / "runs" / "log", World(), "first", {});
    log.end("", 0);
  }
  const std::string whole = read_file(file);
  write_file(file, whole + "{\"time\": \"20");
  EventLog log;
  log.open(folder / "runs" / "log", World(), "second", {});
  log.end("", 0);
  std::istringstream text(read_file(file));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[2], "{\"time\": \"20");
  EXPECT_EQ(Json::parse(lines[3])["message"], "second");
  EXPECT_EQ(Json::parse(lines[4])["level"], "info");
}

TEST(EventLog, TellsAPersonTheMessage) {
  TemporaryFolder folder;
  EventLog closed, log;
  std::ostringstream out;
  closed.tell(out, "weights", "weights: random");
  closed.end("nobody hears it", 5);
  log.open(folder / "log", World(), "train", {});
  log.tell(out, "data", "data: 3 clips", {{"clips", 3}});
  log.warn(out, "preempted", "preempted at iteration 2");
  EXPECT_EQ(out.str(), "weights: random\ndata: 3 clips\npreempted at iteration 2\n");
  const auto lines = lines_of(folder / "log.jsonl");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1]["message"], "data: 3 clips");
  EXPECT_EQ(lines[1]["clips"], 3);
  EXPECT_EQ(lines[2]["level"], "warning");
  EXPECT_EQ(lines[2]["event"], "preempted");
}

TEST(EventLog, SaysThatItCannotWrite) {
  TemporaryFolder folder;
  write_file(folder / "file", "");
  EventLog log;
  expect_error<RuntimeError>([&] { log.open(folder / "file" / "log", World(), "train", {}); },
                             {"log.jsonl", "expected a file that can be written", "--log-json"});
}

TEST(EventLog, HasAFileForEachRank) {
  EXPECT_EQ(rank_file("runs/a/log", 0), "runs/a/log.jsonl");
  EXPECT_EQ(rank_file("runs/a/log", 12), "runs/a/log-12.jsonl");
}

TEST(Progress, TellsALogTheNumbers) {
  TemporaryFolder folder;
  EventLog log;
  log.open(folder / "log", World(), "train", {});
  std::ostringstream out;
  StepMetrics metrics;
  metrics.iteration = 3;
  metrics.epoch = 1;
  metrics.total = 0.5;
  metrics.lr = 0.1 + 0.2;
  metrics.seconds = 2;
  metrics.data_seconds = 0.5;
  {
    Progress progress(out, false, 103, &log);
    progress.show(metrics);
    progress.show_validation(3, {{"AP", 0.25}, {"AP50", 0.5}, {"AP75", 0.125}, {"AR1", 0.75}}, 61);
  }
  const auto lines = lines_of(folder / "log.jsonl");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1]["event"], "iteration");
  EXPECT_EQ(
      lines[1]["message"].get<std::string>() + "\n" + lines[2]["message"].get<std::string>() + "\n",
      out.str());
  EXPECT_EQ(lines[1]["iteration"], 3);
  EXPECT_EQ(lines[1]["iterations"], 103);
  EXPECT_EQ(lines[1]["epoch"], 1);
  EXPECT_EQ(lines[1]["loss"], 0.5);
  EXPECT_EQ(lines[1]["lr"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(lines[1]["seconds"], 2);
  EXPECT_EQ(lines[1]["data_seconds"], 0.5);
  EXPECT_EQ(lines[1]["seconds_left"], 200);
  EXPECT_EQ(lines[2]["event"], "validation");
  EXPECT_EQ(lines[2]["iteration"], 3);
  EXPECT_EQ(lines[2]["run_seconds"], 61);
  EXPECT_EQ(lines[2]["validation"],
            (Json{{"AP", 0.25}, {"AP50", 0.5}, {"AP75", 0.125}, {"AR1", 0.75}}));
}

}  // namespace
}  // namespace tessera
