#include "launcher/weights/model_weights.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "core/error.h"
#include "launcher/weights/match_weights.h"
#include "launcher/weights/weight_rules.h"

namespace tessera {
namespace {

/// What wraps a model: its name then stands before every key.
constexpr auto kWrappers = std::to_array<std::string_view>(
    {"module.", "model.", "_orig_mod.", "model._orig_mod.", "_orig_mod.model.", "module._orig_mod.",
     "_orig_mod.module.", "module.model.", "model.module.", "model_ema.", "model_ema.module.",
     "ema.", "ema_model.", "ema.module.", "net.", "network.", "state_dict."});

class ModelLoader {
 public:
  ModelLoader(VisModel& model, WeightFile content, std::string where, const WeightsOptions& rules,
              const std::vector<RuleTable>& tables)
      : model_(model),
        file_(std::move(where)),
        rules_(rules),
        tables_(tables),
        content_(std::move(content)) {}

  LoadReport load_initial() {
    WeightMatch match = matched(rules_);
    if (!match.mistakes.empty()) refuse(match.mistakes, rules_, /*is_finished=*/false);
    return take(match, rules_);
  }

  LoadReport load_finished() {
    const WeightsOptions ruled = finished(rules_);
    const bool has_own_names_first = content_.format == "safetensors";
    std::optional<WeightMatch> own, by_rules;
    for (const bool is_own : {has_own_names_first, !has_own_names_first}) {
      auto& match = is_own ? own : by_rules;
      const WeightsOptions& options = is_own ? no_rules() : ruled;
      match = matched(options);
      if (!match->mistakes.empty()) continue;
      if (is_own && has_rules(ruled))
        match->report.note =
            "the rules of [weights] were not applied, because the file has the model's own names";
      return take(*match, is_own ? only_ignored(rules_) : ruled);
    }
    const bool shows_rules = by_rules->mistakes.count() <= own->mistakes.count();
    refuse(shows_rules ? by_rules->mistakes : own->mistakes, shows_rules ? ruled : no_rules(),
           /*is_finished=*/true);
  }

 private:
  static const WeightsOptions& no_rules() {
    static const WeightsOptions kNone;
    return kNone;
  }
  static WeightsOptions finished(WeightsOptions rules) {
    rules.skip.clear();
    rules.reset.clear();
    return rules;
  }
  /// What nothing can read may be left out whatever names the file has.
  static WeightsOptions only_ignored(const WeightsOptions& rules) {
    WeightsOptions options;
    options.ignore = rules.ignore;
    return options;
  }
  static bool has_rules(const WeightsOptions& rules) {
    return !rules.prefix.empty() || !rules.rename.empty() || !rules.ignore.empty();
  }

  std::vector<NamedTensor> names_for(const WeightsOptions& rules) const {
    return model_.named_tensors(rules.has_composed_names() ? NameStyle::kComposed
                                                           : NameStyle::kCanonical);
  }
  WeightMatch matched(const WeightsOptions& rules) const {
    const PartAdapter adapter(
        model_, rules.has_composed_names() ? NameStyle::kComposed : NameStyle::kCanonical);
    return match_weights(names_for(rules), content_.tensors, rules, &adapter);
  }

  LoadReport take(WeightMatch& match, const WeightsOptions& rules) const {
    refuse_unsupported(needed(content_.unsupported, rules), file_);
    match.copy();
    add_surroundings(match.report, content_);
    return std::move(match.report);
  }

  /// Wrappers that keys of the file begin with, the one that most keys have first, and what all
  /// keys begin with.
  std::vector<std::string> prefixes() const {
    std::vector<std::pair<size_t, std::string>> found;
    for (const std::string_view wrapper : kWrappers) {
      const auto count = static_cast<size_t>(
          std::count_if(content_.tensors.begin(), content_.tensors.end(),
                        [&](const auto& item) { return item.first.starts_with(wrapper); }));
      if (count > 0) found.emplace_back(count, wrapper);
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::string> result;
    for (auto& [count, wrapper] : found) result.push_back(std::move(wrapper));
    std::string common = content_.tensors.empty() ? "" : content_.tensors.front().first;
    for (const auto& [name, tensor] : content_.tensors) {
      const auto end = std::mismatch(common.begin(), common.end(), name.begin(), name.end()).first;
      common.erase(end, common.end());
    }
    for (size_t dot = common.find('.'); dot != std::string::npos; dot = common.find('.', dot + 1))
      if (std::find(result.begin(), result.end(), common.substr(0, dot + 1)) == result.end())
        result.push_back(common.substr(0, dot + 1));
    return result;
  }

  bool fits(const WeightsOptions& rules) const {
    try {
      const WeightMatch match = matched(rules);
      // Rules that leave the whole model fresh fit every file.
      return match.mistakes.empty() && !match.report.loaded.empty();
    } catch (const Error&) {
      return false;  // a part that cannot adapt what rules on trial give it
    }
  }

  /// Throws with what would make the file fit, or with every mistake.
  [[noreturn]] void refuse(const WeightMistakes& mistakes, const WeightsOptions& rules,
                           bool is_finished) const {
    const std::vector<std::string> prefixes = this->prefixes();
    for (const std::string& prefix : prefixes) {
      WeightsOptions with_prefix = rules;
      with_prefix.prefix = prefix;
      if (prefix == rules.prefix || !fits(with_prefix)) continue;
      const auto outside = matched(with_prefix).report.outside_prefix.size();
      throw DataError(file_ + ": expected the model's names, got names that begin with '" + prefix +
                      "'" + (outside == 0 ? "" : " (all but " + std::to_string(outside) + ")") +
                      ". Add --set weights.prefix=" + prefix + " to the command.");
    }
    std::vector<RuleTable> choices{{"none", no_rules()}};
    choices.insert(choices.end(), tables_.begin(), tables_.end());
    std::vector<std::string> tried{rules.prefix, ""};
    tried.insert(tried.end(), prefixes.begin(), prefixes.end());
    for (const RuleTable& table : choices) {
      WeightsOptions options = with_rules(rules, table.rules);
      if (is_finished) options = finished(options);
      for (const std::string& prefix : tried) {
        options.prefix = prefix;
        if (!fits(options)) continue;
        const std::string got = table.file == "none" ? "the model's own names"
                                                     : "the names that " + table.file + " is for";
        throw DataError(
            file_ + ": expected the names that the rules of [weights] are for, got " + got +
            ". Add --rules " + table.file +
            (prefix == rules.prefix ? "" : " --set 'weights.prefix=\"" + prefix + "\"'") +
            " to the command.");
      }
    }
    throw DataError(mistakes.text(file_));
  }

  VisModel& model_;
  std::string file_;
  const WeightsOptions& rules_;
  const std::vector<RuleTable>& tables_;
  WeightFile content_;
};

}  // namespace

LoadReport load_initial_weights(VisModel& model, const std::filesystem::path& file,
                                const WeightsOptions& rules, const std::vector<RuleTable>& tables) {
  return ModelLoader(model, read_weights(file, rules.key, KeyUse::kIfTables), file.string(), rules,
                     tables)
      .load_initial();
}

LoadReport load_finished_weights(VisModel& model, const std::filesystem::path& file,
                                 const WeightsOptions& rules,
                                 const std::vector<RuleTable>& tables) {
  return ModelLoader(model, read_weights(file, rules.key, KeyUse::kIfTables), file.string(), rules,
                     tables)
      .load_finished();
}

LoadReport load_finished_weights(VisModel& model, WeightFile content, const std::string& where,
                                 const WeightsOptions& rules) {
  const std::vector<RuleTable> none;
  return ModelLoader(model, std::move(content), where, rules, none).load_finished();
}

WeightsOptions chosen_rules(const WeightsOptions& experiment, const std::string& table) {
  if (table.empty()) return experiment;
  return with_rules(experiment, table == "none" ? WeightsOptions() : read_weights_options(table));
}

}  // namespace tessera
