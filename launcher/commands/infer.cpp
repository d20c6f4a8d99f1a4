#include "launcher/commands/commands.h"
namespace tessera::commands { void add_infer(CLI::App&) {} }
