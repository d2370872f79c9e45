/** Errors of the command line, of the daemon and of system mode: what each code means, and what fixes it. */
import type { CodeTexts } from "./code-texts.js";

/** The command line and the API. */
export const lineCodes = {
  not_wanted: ["what was to be done is not wanted any more", "nothing"],
  usage: ["the command line is wrong; the line after has a right one", "`--help` after any command"],
  bad_size: ["a size is not one", "`512M`, `4G`, `4GiB` or `1024` (MiB)"],
  bad_duration: ["a time span is not one", "`30s`, `10m`, `2h`, `1d`"],
  not_written: ["the output or a file cannot be written", "`df -h`; another place"],
  not_found: ["the API serves nothing there", "[openapi.json](openapi.json)"],
  invalid_request: [
    "a program asked the API for something that it cannot mean; the message names the field",
    "[openapi.json](openapi.json)",
  ],
  upgrade_required: ["a command was asked for by a plain request", "[openapi.json](openapi.json), `vmExec`"],
  internal: ["a mistake of banger's", "`daemon.log` has the rest"],
} as const satisfies CodeTexts;

/** The daemon and its home. */
export const startCodes = {
  env_file_unreadable: ["the file of `--env-file` cannot be read, or is not UTF-8", "`ls -ld` of it"],
  home_lost: [
    "the state directory was moved or deleted under its daemon, which ends, its VMs with it (`journalctl -t banger`)",
    "any command starts a daemon for what is there now",
  ],
  argument_not_utf8: [
    "an argument, or a variable of `--env`, has bytes that are no UTF-8 and would reach the guest as others",
    "name it in the guest's own shell, with `printf`",
  ],
  client_gone: [
    "the client that wanted a VM for itself (`--rm`) was gone before it was created",
    "type it again",
  ],
  input_unreadable: [
    "the input of a command cannot be read; half of it must not pass for the whole",
    "another input, or `--no-stdin`",
  ],
  program_missing: ["a program is not on the PATH", "`banger doctor` names its package"],
  guest_unguarded: [
    "QEMU does not load what keeps its guest from the host's loopback, as one that is linked statically",
    "another `qemu_bin`, or `--no-nat`",
  ],
  launcher_missing: ["`build/banger-launcher` is not there, or cannot be executed", "`make build`"],
  files_limit: [
    "the caller's limit of open files is too low for the command or for the daemon ([inherited.md](inherited.md))",
    "`ulimit -n 1024`; its hard limit (`ulimit -Hn`) can only be raised by root",
  ],
  file_size_limit: [
    "the caller's limit of file sizes is too low for the daemon ([inherited.md](inherited.md))",
    "`ulimit -f unlimited`; its hard limit (`ulimit -Hf`) can only be raised by root",
  ],
  config_invalid: [
    "the configuration has a wrong key or value; the message has file and line",
    "[config.md](config.md) has what is allowed",
  ],
  home_unknown: ["neither `HOME` nor the XDG variables are set", "set `HOME`"],
  home_unwritable: [
    "a directory of banger cannot be written",
    "give it back to yourself: `ls -ld` shows whose it is",
  ],
  runtime_unsafe: [
    "the directory of the sockets is somebody else's or open to them, who could answer in the daemon's place",
    "as the hint says, or your own home: a command under `sudo` has root's",
  ],
  daemon_failed: ["the daemon did not come up; its last words follow", "they say it; else `daemon.log`"],
  daemon_lost: ["the connection broke, as when the daemon is stopped", "type it again"],
  bad_reply: [
    "what answers is no daemon of this version",
    "`banger daemon stop`; the next command starts this one",
  ],
  daemon_silent: ["the daemon gave no answer in time", "`banger doctor`; the machine may be out of memory"],
  daemon_stuck: ["the daemon does not end", "`kill` it: it loses nothing"],
  daemon_forbidden: ["the socket is another user's", "use your own home"],
  log_newer: ["a newer banger wrote the log; nothing was changed", "install that version"],
  log_corrupt: ["the log is damaged; nothing was changed", "keep a copy, then recover it as the hint says"],
  log_busy: ["another daemon holds the log", "`banger daemon status`"],
  log_io: ["the log cannot be read or written", "`dmesg`: the disk may be failing"],
  daemon_not_running: ["no daemon runs, and this command starts none", "`banger vm list` starts one"],
  daemon_stopping: ["the daemon is about to end", "type it again: the next one goes on"],
  config_unreadable: ["the configuration cannot be read", "`ls -l` shows whose it is"],
  architecture_unsupported: ["banger runs on x86_64", "another machine"],
  kvm_unusable: [
    "hardware virtualization is not to be had",
    "VMs run without it, slower; `banger doctor` says why",
  ],
  version_conflict: ["two commands changed the same thing at once", "type it again"],
  command_known: ["the same create was sent twice", "nothing: the first one counts"],
  id_taken: ["two VMs were given one id by chance", "type it again"],
  stream_unknown: ["the log has nothing of that stream", "`banger events`"],
  path_too_long: ["the state directory's path is too long for a socket", "a shorter `XDG_STATE_HOME`"],
} as const satisfies CodeTexts;

/** System mode and its root helper. */
export const systemCodes = {
  root_lost: [
    "a root disk's snapshot lost what it had",
    "`banger vm delete`: what is on `/root` is in `work.raw`",
  ],
  needs_root: ["the command changes the host", "with `sudo`, as the hint says"],
  owner_missing: ["whom system mode shall serve", "`--owner` with an ordinary account"],
  owner_unknown: ["whom system mode shall serve", "`--owner` with an ordinary account"],
  owner_is_root: ["whom system mode shall serve", "`--owner` with an ordinary account"],
  system_not_installed: [
    "it is not there, is somebody else's, or its metadata was changed",
    "the hint has the command",
  ],
  system_owned: [
    "it is not there, is somebody else's, or its metadata was changed",
    "the hint has the command",
  ],
  system_damaged: [
    "it is not there, is somebody else's, or its metadata was changed",
    "the hint has the command",
  ],
  system_foreign: ["a directory of it belongs to somebody else", "look at what it holds, and move it away"],
  systemd_missing: ["systemd does not run the host, or did not do as it was told", "`journalctl -xe`"],
  systemd_failed: ["systemd does not run the host, or did not do as it was told", "`journalctl -xe`"],
  program_untrusted: [
    "another than root could change what would run as root",
    "`sudo make install`; Node for the whole machine",
  ],
  firecracker_missing: [
    '`vmm = "firecracker"`, and there is none that can be used',
    "version 1.10 or newer, with its jailer, owned by root",
  ],
  firecracker_unusable: [
    '`vmm = "firecracker"`, and there is none that can be used',
    "version 1.10 or newer, with its jailer, owned by root",
  ],
  vms_running: ["the network cannot change under VMs, or they could not be stopped", "stop them"],
  mode_unknown: ["`BANGER_MODE` is neither `user` nor `system`", "unset it"],
  daemon_by_systemd: [
    "systemd runs the daemon, or shall start it and you may not tell it to",
    "`sudo systemctl start bangerd`",
  ],
  daemon_stopped: [
    "systemd runs the daemon, or shall start it and you may not tell it to",
    "`sudo systemctl start bangerd`",
  ],
  helper_unreachable: [
    "the root helper does not answer, or cannot see all that it must",
    "`journalctl -u banger-helper`",
  ],
  helper_silent: [
    "the root helper does not answer, or cannot see all that it must",
    "`journalctl -u banger-helper`",
  ],
  helper_blind: [
    "the root helper does not answer, or cannot see all that it must",
    "`journalctl -u banger-helper`",
  ],
  builder_unreachable: ["systemd has no image builder", "`systemctl status banger-builder.socket`"],
  helper_lost: ["the root helper ended before it answered", "again; `journalctl -u banger-helper`"],
  helper_late: ["a call took the root helper too long", "again; `journalctl -u banger-helper`"],
  helper_busy: ["too many calls to the root helper at once", "it is tried again"],
  helper_stopping: ["the root helper is about to end", "it is tried again"],
  helper_refused: [
    "a rule of the root helper's forbids it; the message names the rule",
    "[privileges.md](privileges.md)",
  ],
  helper_internal: ["a mistake of the root helper's", "`journalctl -u banger-helper`"],
  answer_too_long: ["an answer of the root helper's is too long", "`journalctl -u banger-helper`"],
  tool_late: ["a program of the host's took too long", "it is tried again"],
  tool_output: ["a program of the host's printed too much", "`journalctl -u banger-helper`"],
  tool_garbled: ["a program of the host's printed what it never does", "its version"],
  device_busy: ["a loop or mapper device is in use", "it is tried again"],
  device_node: ["a device's file is not that device", "restart udev"],
  disk_empty: ["a disk file is empty", "`banger vm delete`"],
  cgroup_busy: ["processes are left of a VM", "it is tried again"],
  tree_busy: ["files come while a directory is removed", "it is tried again"],
  tree_deep: ["a directory is too deep to be removed", "remove it by hand"],
  tree_mounted: ["something is mounted over what is to be removed", "`umount` it"],
  tap_missing: ["the VM's network interface is gone", "it is made again"],
  bridge_missing: ["the bridge is gone", "it is made again"],
  network_in_use: ["another program has that network", "`cidr` in the configuration"],
  no_firewall: ["the host has neither nft nor iptables", "`sudo apt-get install nftables`"],
} as const satisfies CodeTexts;
