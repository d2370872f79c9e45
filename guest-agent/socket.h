/* Streams that are a socket each: vsock connections, and unix sockets for tests on the host. */
#ifndef BANGER_SOCKET_H
#define BANGER_SOCKET_H

#include <stdint.h>

/* Each listens, non-blocking; returns the descriptor, or -1 with errno. */
int socket_listen_unix(const char *path);
int socket_listen_vsock(uint32_t port);

/* Serves each connection to the listening `fd` as one stream from now on. */
void sockets_serve(int fd);

void sockets_read(void);
void sockets_pump(void);
/* Sends what it can; tells whether a stream has new room. */
int sockets_write(void);
void sockets_watch(void);

#endif
