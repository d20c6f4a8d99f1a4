#include "core/config/toml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class TomlReader : public testing::Test {
 protected:
  TomlReader() : folder_(fs::temp_directory_path() / ("tessera-toml-" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~TomlReader() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  static std::string error_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  }
  fs::path folder_;
};

TEST_F(TomlReader, MergesExtendsInOrder) {
  write("a.toml", "x = 1\n[t]\np = 1\nq = 1\n");
  write("b.toml", "x = 2\n[t]\nq = 2\n");
  const ConfigNode root =
      read_experiment(write("c.toml", "extends = [\"a.toml\", \"b.toml\"]\n[t]\nr = 3\n"));
  EXPECT_EQ(to_toml(root), "x = 2\n\n[t]\np = 1\nq = 2\nr = 3\n");
}

TEST_F(TomlReader, ReplacesATableThatNamesAnotherPlugin) {
  write("a.toml", "[m]\nplugin = \"dense\"\nheads = 8\n");
  const auto file = write("b.toml", "extends = \"a.toml\"\n[m]\nplugin = \"sparse\"\npoints = 4\n");
  EXPECT_EQ(read_experiment(file).find_path("m.heads"), nullptr);
  EXPECT_NE(read_experiment(file).find_path("m.points"), nullptr);
  const ConfigNode same =
      read_experiment(write("c.toml", "extends = \"a.toml\"\n[m]\nplugin = \"dense\"\nx = 1\n"));
  EXPECT_NE(same.find_path("m.heads"), nullptr);
}

TEST_F(TomlReader, RefusesACycle) {
  write("a.toml", "extends = \"b.toml\"\n");
  const auto b = write("b.toml", "x = 1\nextends = \"a.toml\"\n");
  const std::string error = error_of([&] { read_experiment(b); });
  EXPECT_THAT(error, HasSubstr("b.toml -> a.toml -> b.toml"));
  EXPECT_THAT(error, HasSubstr("a.toml:1:1"));
}

TEST_F(TomlReader, NamesTheMissingBaseAndWhoWantsIt) {
  const std::string error =
      error_of([&] { read_experiment(write("a.toml", "y = 1\nextends = \"no.toml\"\n")); });
  EXPECT_THAT(error, HasSubstr("a.toml:2:1"));
  EXPECT_THAT(error, HasSubstr("no.toml"));
}

TEST_F(TomlReader, GivesLineAndColumnOfASyntaxError) {
  EXPECT_THAT(error_of([&] { read_experiment(write("a.toml", "x = 1\ny = = 2\n")); }),
              HasSubstr("a.toml:2:5"));
}

TEST_F(TomlReader, OverridesAreTypedAndMayMakeTables) {
  ConfigNode root = parse_toml("[a]\nb = 1\n", "x");
  apply_override(root, "a.b=2.5");
  apply_override(root, "a.c.d=[1, 2]");
  apply_override(root, "name=resnet");
  apply_override(root, "on=true");
  EXPECT_EQ(to_toml(root), "name = \"resnet\"\non = true\n\n[a]\nb = 2.5\n\n[a.c]\nd = [1, 2]\n");
}

TEST_F(TomlReader, RefusesMalformedOverrides) {
  ConfigNode root = parse_toml("", "x");
  for (const char* bad : {"novalue", "=1", "a..b=1", "a=[1", "a=\"x"})
    EXPECT_THROW(apply_override(root, bad), ConfigError) << bad;
}

TEST_F(TomlReader, WritesWhatItCanReadAgain) {
  const std::string text =
      "s = \"a\\\"b\\n\"\nf = 1e-4\ni = -3\nl = [1, [2.0]]\n\n[t]\n\"odd key\" = true\n";
  const ConfigNode once = parse_toml(text, "x");
  EXPECT_EQ(parse_toml(to_toml(once), "y"), once);
}

}  // namespace
}  // namespace tessera
