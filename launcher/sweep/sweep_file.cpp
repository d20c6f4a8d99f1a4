#include "launcher/sweep/sweep_file.h"

#include <algorithm>
#include <set>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "launcher/experiment.h"

namespace tessera::sweep {
namespace {

namespace fs = std::filesystem;

/// What has to be the same in all variants, so that their scores compare.
constexpr const char* kShared[] = {"data", "train.epochs", "train.iterations", "train.total_batch",
                                   "train.evaluate_every"};

bool may_differ(const SweepFile& sweep, const std::string& key) {
  return std::any_of(sweep.differ.begin(), sweep.differ.end(), [&](const std::string& allowed) {
    return key == allowed || key.starts_with(allowed + ".");
  });
}

std::string text_of(const ConfigNode* node) {
  return node ? to_toml_value(*node) : "nothing";
}

/// Adds "key: expected X, got Y" for every leaf that differs.
void compare(const SweepFile& sweep, const std::string& key, const ConfigNode* a,
             const ConfigNode* b, std::vector<std::string>& problems) {
  if (may_differ(sweep, key) || (!a && !b) || (a && b && *a == *b)) return;
  if (!a || !b || !a->is_table() || !b->is_table()) {
    problems.push_back(key + ": expected " + text_of(a) + ", got " + text_of(b));
    return;
  }
  std::set<std::string> names;
  for (const ConfigNode* table : {a, b})
    for (const auto& entry : table->table()) names.insert(entry.first);
  for (const std::string& name : names)
    compare(sweep, key + "." + name, a->find(name), b->find(name), problems);
}

void expect_same_budget(const SweepFile& sweep, const PlannedRun& first, const PlannedRun& other) {
  const ConfigNode a = parse_toml(first.resolved, first.variant),
                   b = parse_toml(other.resolved, other.variant);
  std::vector<std::string> problems;
  for (const char* key : kShared) compare(sweep, key, a.find_path(key), b.find_path(key), problems);
  if (!problems.empty())
    throw ConfigError("variants." + other.variant + ": expected the data and budget of '" +
                      first.variant + "', got differences:\n  " + join(problems, "\n  ") +
                      "\nMake them equal, or name the keys in differ.");
}

}  // namespace

void Variant::describe(Schema<Variant>& schema) {
  schema.field("name", &Variant::name, "Name in the table, and of the variant's folder.")
      .required();
  schema.field("experiment", &Variant::experiment,
               "Experiment of this variant, relative to the sweep's file; by default the sweep's.");
  schema.field("set", &Variant::set, "Overrides \"key=value\", after the sweep's own.");
}

void SweepFile::describe(Schema<SweepFile>& schema) {
  schema.field("description", &SweepFile::description, "What is compared.");
  schema.field("experiment", &SweepFile::experiment, "Experiment file, relative to this file.");
  schema.field("seeds", &SweepFile::seeds, "Runs of every variant.").at_least(1);
  schema.field("first_seed", &SweepFile::first_seed, "Seed of the first; then one more each.")
      .at_least(0);
  schema.field("set", &SweepFile::set, "Overrides \"key=value\" of every variant.");
  schema.field("differ", &SweepFile::differ,
               "Keys of data and budget in which variants may differ, because that is compared "
               "(data.num_frames).");
  schema.field("variants", &SweepFile::variants, "[[variants]], in the table's order.").required();
  schema.validate([](const SweepFile& sweep) {
    if (sweep.variants.empty())
      throw ConfigError("variants: expected at least one variant, got none.");
    std::set<std::string> names;
    for (const Variant& variant : sweep.variants) {
      if (variant.name.empty() || variant.name.find('/') != std::string::npos ||
          variant.name.starts_with('.'))
        throw ConfigError("variants: expected names that can be folders, got '" + variant.name +
                          "'.");
      if (!names.insert(variant.name).second)
        throw ConfigError("variants: expected names of their own, got '" + variant.name +
                          "' twice.");
      if (variant.experiment.empty() && sweep.experiment.empty())
        throw ConfigError("variants." + variant.name +
                          ": expected an experiment, here or for the whole sweep, got none.");
    }
  });
}

fs::path PlannedRun::folder() const {
  return fs::path(variant) / ("seed-" + std::to_string(seed));
}

SweepFile read_sweep(const fs::path& file) {
  SweepFile sweep;
  ReadContext context;
  schema_of<SweepFile>().read(&sweep, read_experiment(file), "", context);
  context.throw_if_failed();
  auto from_here = [&](std::string& path) {
    if (!path.empty()) path = (file.parent_path() / path).lexically_normal().string();
  };
  from_here(sweep.experiment);
  for (Variant& variant : sweep.variants) from_here(variant.experiment);
  return sweep;
}

std::vector<PlannedRun> plan_runs(const SweepFile& sweep, Registry& registry) {
  std::vector<PlannedRun> runs;
  for (const Variant& variant : sweep.variants)
    for (int64_t seed = sweep.first_seed; seed < sweep.first_seed + sweep.seeds; ++seed) {
      PlannedRun run{variant.name, seed,
                     variant.experiment.empty() ? sweep.experiment : variant.experiment, sweep.set,
                     ""};
      run.overrides.insert(run.overrides.end(), variant.set.begin(), variant.set.end());
      run.overrides.push_back("train.seed=" + std::to_string(seed));
      run.overrides.push_back("train.seeds=1");
      const Experiment experiment = load_experiment(run.experiment, run.overrides, registry);
      if (experiment.train.evaluate_every == 0)
        throw ConfigError("variants." + variant.name +
                          ": train.evaluate_every: expected more than 0, because scores are "
                          "compared, got 0.");
      run.resolved = resolved_toml(experiment);
      expect_same_budget(sweep, runs.empty() ? run : runs.front(), run);
      runs.push_back(std::move(run));
    }
  return runs;
}

}  // namespace tessera::sweep
