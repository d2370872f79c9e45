/* A command's end in words. */
#include "exec_report.h"

#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int report_failure(char body[REPORT_MAX], const struct spawn_failure *failure) {
  static const char *const messages[] = {
      [SPAWN_NO_USER] = "there is no such user",
      [SPAWN_BAD_CWD] = "cannot be entered",
      [SPAWN_NO_TTY] = "no terminal can be had",
      [SPAWN_NO_PROGRAM] = "the program cannot be run",
  };
  const char *code = "cannot_start";
  int error = failure->error;
  if (failure->stage == SPAWN_NO_USER) code = "no_such_user";
  if (failure->stage == SPAWN_BAD_CWD) code = "bad_cwd";
  if (failure->stage == SPAWN_NO_TTY) code = "no_tty";
  if (failure->stage == SPAWN_NO_PROGRAM) {
    if (error == ENOENT || error == ENOTDIR) code = "not_found";
    if (error == EACCES || error == ENOEXEC || error == EISDIR || error == ETXTBSY || error == ELIBBAD || error == EPERM)
      code = "not_executable";
    if (error == E2BIG) code = "arguments_too_long";
  }
  char message[1536], quoted[3072];
  snprintf(message, sizeof message, "%s%s%s: %s", failure->directory, *failure->directory ? " " : "",
           messages[failure->stage], error ? strerror(error) : "unknown");
  json_quote(quoted, sizeof quoted, message);
  return snprintf(body, REPORT_MAX, "{\"code\":\"%s\",\"message\":%s}", code, quoted);
}

int report_exit(char body[REPORT_MAX], const struct child *child) {
  static const char *const names[] = {
      "",       "HUP",    "INT",  "QUIT",  "ILL",  "TRAP", "ABRT", "BUS",  "FPE",  "KILL", "USR1",
      "SEGV",   "USR2",   "PIPE", "ALRM",  "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN",
      "TTOU",   "URG",    "XCPU", "XFSZ",  "VTALRM", "PROF", "WINCH", "IO",   "PWR",  "SYS",
  };
  if (!child->signal)
    return snprintf(body, REPORT_MAX, "{\"code\":%d}", child->code);
  if ((size_t)child->signal < sizeof names / sizeof *names)
    return snprintf(body, REPORT_MAX, "{\"signal\":\"SIG%s\",\"number\":%d}", names[child->signal], child->signal);
  return snprintf(body, REPORT_MAX, "{\"signal\":\"SIG%d\",\"number\":%d}", child->signal, child->signal);
}
