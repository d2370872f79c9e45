/* Reads listening sockets from /proc/net, and finds their processes through /proc/PID/fd. */
#define _GNU_SOURCE
#include "listeners.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TCP_LISTEN 0x0a
#define UDP_UNCONNECTED 0x07

/* /proc prints an address as 32-bit words in the machine's order. */
static bool format_address(const char *hex, char *text, size_t size) {
  uint32_t words[4];
  size_t count = strlen(hex) / 8;
  for (size_t i = 0; i < count && i < 4; i++) {
    char word[9] = {0};
    memcpy(word, hex + i * 8, 8);
    words[i] = strtoul(word, NULL, 16);
  }
  return (count == 1 || count == 4) && inet_ntop(count == 1 ? AF_INET : AF_INET6, words, text, size);
}

static size_t read_table(const char *path, const char *proto, unsigned state, struct listener *list, size_t length) {
  FILE *file = fopen(path, "re");
  char line[512];
  while (file && length < LISTENERS_MAX && fgets(line, sizeof line, file)) {
    struct listener found = {0};
    char hex[33];
    unsigned its_state;
    if (sscanf(line, "%*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*d %*d %lu", hex, &found.port,
               &its_state, &found.inode) != 4)
      continue;
    if (its_state != state || found.port == 0 || !format_address(hex, found.address, sizeof found.address)) continue;
    strcpy(found.proto, proto);
    list[length++] = found;
  }
  if (file) fclose(file);
  return length;
}

static int compare(const void *left, const void *right) {
  const struct listener *a = left, *b = right;
  int order = strcmp(a->proto, b->proto);
  if (order == 0) order = (a->port > b->port) - (a->port < b->port);
  if (order == 0) order = strcmp(a->address, b->address);
  if (order == 0) order = (a->inode > b->inode) - (a->inode < b->inode);
  return order;
}

/* A socket may be held by several processes: the oldest is the one that made it, but for pid 1, which hands them out. */
static void claim(struct listener *list, size_t length, unsigned long inode, pid_t pid) {
  for (size_t i = 0; i < length; i++)
    if (list[i].inode == inode && (list[i].pid <= 1 || (pid > 1 && pid < list[i].pid))) list[i].pid = pid;
}

static void claim_all_of(struct listener *list, size_t length, const char *pid) {
  char path[64], target[64];
  snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
  DIR *directory = opendir(path);
  struct dirent *entry;
  while (directory && (entry = readdir(directory))) {
    unsigned long inode;
    ssize_t got = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
    if (got <= 0) continue;
    target[got] = 0;
    if (sscanf(target, "socket:[%lu]", &inode) == 1) claim(list, length, inode, atoi(pid));
  }
  if (directory) closedir(directory);
}

static void read_file(pid_t pid, const char *name, char *text, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);
  if (fd >= 0) close(fd);
  if (length < 0) length = 0;
  while (length > 0 && (text[length - 1] == 0 || text[length - 1] == '\n')) length--;
  for (ssize_t i = 0; i < length; i++)
    if (text[i] == 0) text[i] = ' ';
  text[length] = 0;
}

static void find_processes(struct listener *list, size_t length) {
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  while (proc && (entry = readdir(proc)))
    if (isdigit((unsigned char)entry->d_name[0])) claim_all_of(list, length, entry->d_name);
  if (proc) closedir(proc);
  for (size_t i = 0; i < length; i++) {
    if (list[i].pid == 0) continue;
    read_file(list[i].pid, "comm", list[i].process, sizeof list[i].process);
    read_file(list[i].pid, "cmdline", list[i].command, sizeof list[i].command);
  }
}

bool listeners_update(struct listener list[LISTENERS_MAX], size_t *length) {
  static struct listener fresh[LISTENERS_MAX];
  size_t count = 0;
  count = read_table("/proc/net/tcp", "tcp", TCP_LISTEN, fresh, count);
  count = read_table("/proc/net/tcp6", "tcp", TCP_LISTEN, fresh, count);
  count = read_table("/proc/net/udp", "udp", UDP_UNCONNECTED, fresh, count);
  count = read_table("/proc/net/udp6", "udp", UDP_UNCONNECTED, fresh, count);
  qsort(fresh, count, sizeof *fresh, compare);
  bool same = count == *length;
  for (size_t i = 0; i < count && same; i++) same = compare(&fresh[i], &list[i]) == 0;
  if (same) return false;
  find_processes(fresh, count);
  memcpy(list, fresh, count * sizeof *fresh);
  *length = count;
  return true;
}
