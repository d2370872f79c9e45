/* What doubles of jailer and of what it starts have in common. */
#pragma once

/* Called as jailer: confines what --exec-file names as jailer does, and becomes /firecracker in there. */
int jailer(char **argv);
/* The argument after `name`; NULL where there is none. */
const char *option(char **argv, const char *name);
/* Says what could not be done, and why, and ends the program. */
void die(const char *what);
