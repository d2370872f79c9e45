/* What the guest says of itself, and when its init says that it is up. */
#ifndef BANGER_HEALTH_H
#define BANGER_HEALTH_H

/* Where an init that knows sd_notify(3) says that its start is finished; the '@' stands for an abstract socket. */
#define HEALTH_NOTIFY_SOCKET "@banger-init"

/* Makes that socket, before the init begins. Returns its descriptor or -1. */
int health_listen(void);

/* Takes what comes from that socket (-1: nothing ever will), and the clock as it is for the host's. */
void health_begin(int fd);

/* Notes what the init has said. Once a round. */
void health_check(void);

/* Names what health_check waits for. */
void health_watch(void);

#endif
