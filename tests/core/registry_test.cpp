#include "core/plugin/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/interfaces/build_context.h"
#include "core/interfaces/matcher.h"
#include "core/plugin/loader.h"

namespace tessera {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(TESSERA_BINARY_DIR) / "fixtures";

std::string plugin_error(const std::function<void()>& body) {
  try {
    body();
  } catch (const PluginError& error) {
    return error.what();
  }
  return "no error";
}

std::string loading(const std::string& folder) {
  return plugin_error([&] { Registry({kFixtures / folder}).find("matcher", folder); });
}

TEST(Registry, RefusesAnotherAbiBeforeTouchingTheDescriptor) {
  const std::string error = loading("wrong_abi");
  EXPECT_THAT(error,
              HasSubstr("libtessera_matcher_wrong_abi.so: expected the ABI 'tessera-abi 1;"));
  EXPECT_THAT(error, HasSubstr("got 'tessera-abi 0; an older world'"));
}

TEST(Registry, RefusesALibraryWithoutTheSymbols) {
  EXPECT_THAT(loading("no_symbol"), HasSubstr("expected the symbol tessera_plugin_abi, got none"));
  EXPECT_THAT(loading("no_descriptor"), HasSubstr("expected the symbol tessera_plugin, got none"));
}

TEST(Registry, RefusesWhatIsNoLibrary) {
  EXPECT_THAT(loading("not_a_library"), HasSubstr("expected a loadable shared library"));
  EXPECT_THAT(loading("not_a_library"),
              testing::AnyOf(HasSubstr("too short"), HasSubstr("invalid ELF")));
}

TEST(Registry, NamesTheMissingDependency) {
  EXPECT_THAT(loading("missing_dependency"), HasSubstr("libfixture_absent.so"));
}

TEST(Registry, RefusesALibraryThatHoldsAnotherPlugin) {
  EXPECT_THAT(loading("wrong_name"),
              HasSubstr("expected the plugin matcher/wrong_name, got matcher/throwing"));
}

TEST(Registry, RefusesOneNameInTwoFolders) {
  Registry registry({kFixtures / "first", kFixtures / "second"});
  EXPECT_THAT(plugin_error([&] { registry.find("matcher", "throwing"); }),
              HasSubstr("expected one matcher plugin named 'throwing'"));
  Registry by_hand({});
  by_hand.load(kFixtures / "first/libtessera_matcher_throwing.so");
  EXPECT_THAT(
      plugin_error([&] { by_hand.load(kFixtures / "second/libtessera_matcher_throwing.so"); }),
      HasSubstr("a name of its own"));
}

TEST(Registry, TurnsAThrowingConstructorIntoAPluginError) {
  Registry registry({kFixtures / "throwing"});
  PluginOf<Matcher> choice{"throwing"};
  choice.descriptor = &registry.find("matcher", "throwing");
  choice.options = choice.descriptor->make_options();
  choice.source = {"exp.toml", 3, 1};
  const std::string error = plugin_error([&] { BuildContext().make(choice); });
  EXPECT_THAT(error, HasSubstr("exp.toml:3:1: matcher 'throwing'"));
  EXPECT_THAT(error, HasSubstr("boom from the constructor"));
}

TEST(Registry, ListsKnownNamesAndTheNearestForAnUnknownOne) {
  Registry registry(Registry::default_search_paths());
  const std::string error = plugin_error([&] { registry.find("attention", "st_deformabel"); });
  EXPECT_THAT(error, HasSubstr("Did you mean 'st_deformable'?"));
  EXPECT_THAT(error, HasSubstr("dense"));
}

TEST(Registry, ScanKeepsGoodPluginsAndReportsBrokenOnes) {
  auto paths = Registry::default_search_paths();
  for (const char* folder : {"wrong_abi", "no_symbol", "not_a_library"})
    paths.push_back(kFixtures / folder);
  Registry registry(paths);
  std::vector<BrokenPlugin> broken;
  EXPECT_GE(registry.scan(broken).size(), 10u);
  EXPECT_EQ(broken.size(), 3u);
}

TEST(Registry, TwoRegistriesDoNotShareWhatTheyFound) {
  Registry first({kFixtures / "throwing"}), second({});
  first.find("matcher", "throwing");
  EXPECT_THROW(second.find("matcher", "throwing"), PluginError);
}

}  // namespace
}  // namespace tessera
