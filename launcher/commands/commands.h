#pragma once

#include <CLI/CLI.hpp>

namespace tessera {
class EventLog;
class World;
}  // namespace tessera

namespace tessera::commands {

// Each adds one subcommand with its options, an example and its callback. Errors are thrown. What
// takes an EventLog opens it for --log-json.
void add_bench(CLI::App& app);
void add_bench_model(CLI::App& bench);
/// Of the other commands, so to be added last.
void add_completion(CLI::App& app);
void add_config(CLI::App& app);
void add_config_check(CLI::App& config);
void add_config_size(CLI::App& config);
void add_data(CLI::App& app);
void add_data_check(CLI::App& data);
void add_data_convert(CLI::App& data);
void add_data_split(CLI::App& data);
void add_data_stats(CLI::App& data);
void add_data_view(CLI::App& data);
void add_doctor(CLI::App& app);
void add_forward(CLI::App& app);
void add_infer(CLI::App& app, const World& world, EventLog& log);
void add_launch(CLI::App& app);
void add_plugins(CLI::App& app);
void add_report(CLI::App& app);
void add_score(CLI::App& app);
void add_sweep(CLI::App& app, const World& world, EventLog& log);
void add_train(CLI::App& app, const World& world, EventLog& log);
void add_weights(CLI::App& app);

}  // namespace tessera::commands
