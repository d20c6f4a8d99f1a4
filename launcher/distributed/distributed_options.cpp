#include "launcher/distributed/distributed_options.h"

namespace tessera {

void DistributedOptions::describe(Schema<DistributedOptions>& schema) {
  using Options = DistributedOptions;
  schema
      .field("bucket_mib", &Options::bucket_mib,
             "MiB of gradients that are averaged in one piece while backward goes on.")
      .at_least(1);
  schema.field("overlap", &Options::overlap,
               "Average gradients during backward; false: after it (to measure what that gains).");
  schema
      .field("compression", &Options::compression,
             "bf16: gradients travel with 8 bits of precision and half the bytes.")
      .one_of({"none", "bf16"});
  schema
      .field("heartbeat_timeout", &Options::heartbeat_timeout,
             "Seconds without a sign of life (one a second) after which a rank counts as lost.")
      .at_least(3);
  schema
      .field("progress_timeout", &Options::progress_timeout,
             "Seconds that a living rank may take for one phase of a step; the job ends after it.")
      .at_least(1);
  schema.field("interface", &Options::interface,
               "Network interface that the ranks of several machines talk over (\"eth0\"); empty: "
               "the one of the machine's own name.");
}

}  // namespace tessera
