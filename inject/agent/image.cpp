#include "inject/agent/image.h"

namespace memsnap::agent {

constinit AgentConfig config{};

}  // namespace memsnap::agent

extern "C" {
extern memsnap::AgentConfig memsnap_agent_config
    [[gnu::visibility("default"), gnu::alias("memsnap_agent_config_words")]];
}
