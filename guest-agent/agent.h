/* The guest's agent: an HTTP server on a virtio-serial port, on vsock, or on a socket of the host for its tests. */
#ifndef BANGER_AGENT_H
#define BANGER_AGENT_H

/* What /healthz names; the same as the version in package.json. */
#define AGENT_VERSION "0.1.0"

/*
 * Serves the guest for ever, as a child of its first process: on the virtio-serial port `banger.agent` when the
 * machine has one, else on vsock port 1024. `notices` is what health_listen() gave. Returns only when not even the
 * event loop can be had.
 */
int agent_serve_guest(int notices);

/* The agent as a program of its own; see the usage text in agent.c. Returns the exit status. */
int agent_main(int argc, char **argv);

#endif
