/* What concerns the whole guest: writing its disks out, and ending it. Each in a process, since sync(2) may take long. */
#define _GNU_SOURCE
#include "http.h"
#include "loop.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define SHUTDOWN_ASKS 60
#define SHUTDOWN_ASK_SECONDS 2

static void await_sync(struct stream *stream) {
  struct child *child = stream->state;
  if (!child->exited) return;
  child_release(child);
  http_reply(stream, "200 OK", "{}");
}

static void drop_sync(struct stream *stream) {
  child_release(stream->state);
}

static const struct service sync_service = {.pump = await_sync, .drop = drop_sync};

static struct child *sync_in_child(bool then_shut_down) {
  pid_t pid = fork();
  if (pid == 0) {
    /* Else the other ends of everybody's pipes would stay open as long as this takes. */
    syscall(SYS_close_range, 3, ~0U, 0);
    sync();
    /* An init that is only just starting does not hear it yet; one that is on its way down does not mind. */
    for (int asked = 0; then_shut_down && asked < SHUTDOWN_ASKS; asked++) {
      kill(1, SIGINT);
      sleep(SHUTDOWN_ASK_SECONDS);
    }
    _exit(0);
  }
  return pid < 0 ? NULL : child_new(pid);
}

void power_sync(struct stream *stream, const struct request *request) {
  (void)request;
  struct child *child = sync_in_child(false);
  if (!child) {
    http_fail(stream, "503 Service Unavailable", "no_resources", "the guest cannot start a process");
    return;
  }
  stream->state = child;
  stream->service = &sync_service;
}

void power_shutdown(struct stream *stream, const struct request *request) {
  (void)request;
  if (!http_in_guest) {
    http_fail(stream, "409 Conflict", "not_a_guest", "the agent does not run in a virtual machine");
    return;
  }
  struct child *child = sync_in_child(true);
  if (!child) {
    http_fail(stream, "503 Service Unavailable", "no_resources", "the guest cannot start a process");
    return;
  }
  child_release(child);
  http_reply(stream, "202 Accepted", "{}");
}
