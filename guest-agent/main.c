/* One program, two lives: the guest's first process, or the agent alone. */
#include "agent.h"
#include "init.h"

#include <unistd.h>

int main(int argc, char **argv) {
  return getpid() == 1 ? init_main() : agent_main(argc, argv);
}
