// The contract suite on every plugin that the loader finds, built-in and contributed alike.

#include <gtest/gtest.h>

#include <cctype>

#include "launcher/contract/contract_checks.h"

namespace tessera {
namespace {

/// CTest shows the parameter: a name instead of the bytes of the struct.
struct NamedPlugin : RegisteredPlugin {
  friend void PrintTo(const NamedPlugin& plugin, std::ostream* out) {
    *out << plugin.descriptor->kind << " " << plugin.descriptor->name;
  }
};

std::vector<NamedPlugin> all_plugins() {
  Registry registry(Registry::default_search_paths());
  std::vector<BrokenPlugin> broken;
  std::vector<NamedPlugin> plugins;
  for (const RegisteredPlugin& plugin : registry.scan(broken)) plugins.push_back({plugin});
  return plugins;
}

class EveryPlugin : public testing::TestWithParam<NamedPlugin> {};

TEST_P(EveryPlugin, KeepsTheContract) {
  Registry registry(Registry::default_search_paths());
  const auto results = contract::check_plugin(*GetParam().descriptor, registry);
  EXPECT_GE(results.size(), 8u);
  for (const auto& result : results)
    EXPECT_TRUE(result.passed) << result.name << ": " << result.problem;
}

TEST(PluginFolder, HasNoBrokenLibrary) {
  Registry registry(Registry::default_search_paths());
  std::vector<BrokenPlugin> broken;
  registry.scan(broken);
  for (const auto& plugin : broken) ADD_FAILURE() << plugin.reason;
}

INSTANTIATE_TEST_SUITE_P(Plugins, EveryPlugin, testing::ValuesIn(all_plugins()),
                         [](const auto& info) {
                           return std::string(info.param.descriptor->kind) + "_" +
                                  info.param.descriptor->name;
                         });

}  // namespace
}  // namespace tessera
