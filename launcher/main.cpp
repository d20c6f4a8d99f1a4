#include <ATen/Parallel.h>

#include <iostream>
#include <memory>
#include <string>

#include "launcher/commands/commands.h"
#include "launcher/cpu_limits.h"
#include "launcher/distributed/world.h"
#include "launcher/event_log.h"
#include "launcher/load_cuda.h"
#include "launcher/run_main.h"

int main(int argc, char** argv) {
  std::unique_ptr<tessera::World> world;
  tessera::EventLog log;
  std::string failure;
  const int status = tessera::run_main(
      [&] {
        tessera::load_cuda_if_present();
        // LibTorch would follow neither a quota nor, started by mpirun, the processors.
        at::set_num_threads(static_cast<int>(tessera::usable_threads()));
        world = std::make_unique<tessera::World>();
        CLI::App app("Tessera: video instance segmentation composed from plugins by TOML.",
                     "tessera");
        app.require_subcommand(1);
        app.footer(
            "Example: tessera train experiments/smoke/deformable_vistr.toml --output runs/first");
        int code = tessera::kOk;
        using namespace tessera::commands;
        add_bench(app);
        add_config(app);
        add_data(app);
        add_doctor(app);
        add_forward(app);
        add_infer(app, *world, log);
        add_launch(app);
        add_plugins(app);
        add_report(app);
        add_score(app);
        add_sweep(app, *world, log);
        add_train(app, *world, log);
        add_weights(app);
        add_completion(app);
        try {
          app.parse(argc, argv);
        } catch (const CLI::Success& help) {
          return app.exit(help);
        } catch (const CLI::RuntimeError& status) {  // a command's own exit code
          code = status.get_exit_code();
        } catch (const CLI::ParseError& error) {
          app.exit(error, std::cout, std::cerr);
          return static_cast<int>(tessera::kConfigError);
        }
        return code;
      },
      [&] { return world ? world->who() : std::string(); },
      [&](const std::string& error) { failure = error; });
  log.end(failure, status);
  if (world) world->finish(status);
  return status;
}
