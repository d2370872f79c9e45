/* Many streams over one byte link, such as a virtio-serial port. */
#ifndef BANGER_MUX_H
#define BANGER_MUX_H

/* Serves the link on `fd` (non-blocking) from now on. Returns 0, or -1 when memory is out. One link at a time. */
int mux_open(int fd);

/* The link's descriptor, or -1 when there is none or it failed permanently. */
int mux_fd(void);

/* Drops all streams and closes the link. What was half received stays: the next link's NOPs complete it. */
void mux_close(void);

/*
 * `closes` says what a read of nothing means: the end of the link, or, on a virtio-serial port, that the host is not
 * there now.
 */
void mux_read(int closes);
void mux_pump(void);
/* Sends what it can; tells whether a stream has new room. */
int mux_write(void);
void mux_watch(void);

#endif
