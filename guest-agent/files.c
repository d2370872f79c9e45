/* GET and PUT /files: one regular file of the guest, read, or replaced as a whole. */
#define _GNU_SOURCE
#include "http.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_MAX 16000
/* "%04x\r\n" before a chunk and "\r\n" behind it. */
#define CHUNK_FRAME 8

struct upload {
  int fd;
  size_t left;
  char path[PATH_LENGTH_MAX], temporary[PATH_LENGTH_MAX + 32];
};

static void fail(struct stream *stream, const char *path, int error) {
  char message[256];
  snprintf(message, sizeof message, "%.180s: %s", path, strerror(error));
  if (error == ENOENT || error == ENOTDIR) http_fail(stream, "404 Not Found", "no_such_file", message);
  else if (error == ENOSPC || error == EDQUOT) http_fail(stream, "507 Insufficient Storage", "disk_full", message);
  else if (error == EISDIR || error == EINVAL) http_fail(stream, "409 Conflict", "not_a_file", message);
  else http_fail(stream, "500 Internal Server Error", "file_failed", message);
}

/* Reads the query's `path`; replies and returns false when it is none. */
static bool read_path(struct stream *stream, const struct request *request, char path[PATH_LENGTH_MAX]) {
  if (http_query(request, "path", path, PATH_LENGTH_MAX) && path[0] == '/' && path[strlen(path) - 1] != '/') return true;
  http_fail(stream, "400 Bad Request", "bad_request", "path must be the absolute path of a file");
  return false;
}

/* Puts one chunk after the other while there is room. */
static void send_file(struct stream *stream) {
  int *fd = stream->state;
  while (buffer_room(&stream->out) >= CHUNK_MAX + CHUNK_FRAME + 5) {
    char *at = buffer_tail(&stream->out);
    ssize_t got = read(*fd, at + CHUNK_FRAME - 2, CHUNK_MAX);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      close(*fd);
      free(fd);
      if (got == 0) buffer_put(&stream->out, "0\r\n\r\n", 5);
      /* The head was sent: only a broken stream can still say that this is not the whole file. */
      if (got == 0) stream_finish(stream);
      else stream_abort(stream);
      return;
    }
    char size_line[CHUNK_FRAME];
    snprintf(size_line, sizeof size_line, "%04hx\r\n", (unsigned short)got);
    memcpy(at, size_line, CHUNK_FRAME - 2);
    memcpy(at + CHUNK_FRAME - 2 + got, "\r\n", 2);
    buffer_added(&stream->out, got + CHUNK_FRAME);
  }
}

static void drop_file(struct stream *stream) {
  close(*(int *)stream->state);
  free(stream->state);
}

static const struct service download_service = {.pump = send_file, .drop = drop_file};

void files_get(struct stream *stream, const struct request *request) {
  char path[PATH_LENGTH_MAX];
  struct stat status;
  if (!read_path(stream, request, path)) return;
  /* Non-blocking, because opening a FIFO would wait for its other side. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = errno;
  int *state = malloc(sizeof *state);
  if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || !state)) {
    error = state ? EINVAL : ENOMEM;
    close(fd);
    fd = -1;
  }
  if (fd < 0) {
    free(state);
    fail(stream, path, error);
    return;
  }
  *state = fd;
  http_begin_chunks(stream, "application/octet-stream");
  stream->state = state;
  stream->service = &download_service;
}

static void drop_upload(struct stream *stream) {
  struct upload *upload = stream->state;
  close(upload->fd);
  unlink(upload->temporary);
  free(upload);
}

/* Makes the new name last through a power cut. */
static int sync_directory(const char *path) {
  char directory[PATH_LENGTH_MAX];
  strcpy(directory, path);
  strrchr(directory, '/')[directory == strrchr(directory, '/')] = 0;
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int result = fd < 0 ? -1 : fsync(fd);
  if (fd >= 0) close(fd);
  return result;
}

static void receive_file(struct stream *stream) {
  struct upload *upload = stream->state;
  int error = 0;
  while (upload->left && buffer_length(&stream->in) && !error) {
    size_t length = buffer_length(&stream->in);
    ssize_t put = write(upload->fd, buffer_head(&stream->in), length < upload->left ? length : upload->left);
    if (put > 0) {
      buffer_take(&stream->in, put);
      upload->left -= put;
    } else if (put < 0 && errno != EINTR) {
      error = errno;
    }
  }
  if (upload->left && !error && !stream->in_eof) return;
  bool whole = upload->left == 0;
  if (whole && !error && (fsync(upload->fd) < 0 || rename(upload->temporary, upload->path) < 0 ||
                          sync_directory(upload->path) < 0))
    error = errno;
  char path[PATH_LENGTH_MAX];
  strcpy(path, upload->path);
  drop_upload(stream);
  if (error) fail(stream, path, error);
  else if (!whole) http_fail(stream, "400 Bad Request", "bad_request", "the body is shorter than its Content-Length");
  else http_reply(stream, "200 OK", "{}");
}

static const struct service upload_service = {.pump = receive_file, .drop = drop_upload};

static int make_parents(char *path) {
  for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    int made = mkdir(path, 0755);
    *slash = '/';
    if (made < 0 && errno != EEXIST) return -1;
  }
  return 0;
}

/* Opens a temporary file beside the path. Returns 0, or -1 with errno. */
static int open_upload(struct upload *upload, mode_t mode, uid_t uid, gid_t gid) {
  struct stat status;
  if (make_parents(upload->path) < 0) return -1;
  if (stat(upload->path, &status) == 0 && S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    return -1;
  }
  const char *name = strrchr(upload->path, '/') + 1;
  snprintf(upload->temporary, sizeof upload->temporary, "%.*s.banger-XXXXXX", (int)(name - upload->path), upload->path);
  upload->fd = mkostemp(upload->temporary, O_CLOEXEC);
  if (upload->fd < 0) return -1;
  if (fchown(upload->fd, uid, gid) == 0 && fchmod(upload->fd, mode) == 0) return 0;
  int error = errno;
  close(upload->fd);
  unlink(upload->temporary);
  errno = error;
  return -1;
}

/* A number of the query in `base`; `absent` when it is not there, `most` + 1 when it is none or too large. */
static unsigned long number(const struct request *request, const char *key, int base, unsigned long absent,
                            unsigned long most) {
  char text[16], *end;
  if (!http_query(request, key, text, sizeof text)) return absent;
  unsigned long value = strtoul(text, &end, base);
  return *text < '0' || *text > '9' || *end || value > most ? most + 1 : value;
}

void files_put(struct stream *stream, const struct request *request) {
  const unsigned long id_max = 0xfffffffe;
  unsigned long mode = number(request, "mode", 8, 0644, 07777);
  unsigned long uid = number(request, "uid", 10, geteuid(), id_max), gid = number(request, "gid", 10, getegid(), id_max);
  struct upload *upload = malloc(sizeof *upload);
  if (!upload) {
    http_fail(stream, "503 Service Unavailable", "no_resources", "the agent is out of memory");
    return;
  }
  if (mode > 07777 || uid > id_max || gid > id_max) {
    http_fail(stream, "400 Bad Request", "bad_request", "mode is octal, uid and gid are decimal");
  } else if (read_path(stream, request, upload->path)) {
    if (open_upload(upload, mode, uid, gid) == 0) {
      upload->left = request->content_length;
      stream->state = upload;
      stream->service = &upload_service;
      return;
    }
    fail(stream, upload->path, errno);
  }
  free(upload);
}
