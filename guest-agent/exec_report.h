/* How a command ended or could not begin, as the JSON of its last frame. */
#ifndef BANGER_EXEC_REPORT_H
#define BANGER_EXEC_REPORT_H

#include "loop.h"
#include "spawn.h"

#define REPORT_MAX 4096

/* Each returns the length. */
int report_failure(char body[REPORT_MAX], const struct spawn_failure *failure);
int report_exit(char body[REPORT_MAX], const struct child *child);

#endif
