/** Errors of the command line, of the daemon and of system mode: what each code means, and what fixes it. */
import type { CodeTexts } from "./code-texts.js";

/** The command line and the API. */
export const lineCodes = {
  not_wanted: ["the action is no longer wanted", "nothing"],
  usage: ["the command line is wrong; the next line shows one that works", "`--help` after any command"],
  bad_size: ["not a valid size", "`512M`, `4G`, `4GiB` or `1024` (MiB)"],
  bad_duration: ["not a valid duration", "`30s`, `10m`, `2h`, `1d`"],
  not_written: ["the output or a file could not be written", "`df -h`; write it somewhere else"],
  not_found: ["the API has no such route", "[openapi.json](openapi.json)"],
  invalid_request: [
    "a request to the API is invalid; the message names the field",
    "[openapi.json](openapi.json)",
  ],
  upgrade_required: [
    "a command was requested without a connection upgrade",
    "[openapi.json](openapi.json), `vmExec`",
  ],
  internal: ["a bug in banger", "see `daemon.log`"],
} as const satisfies CodeTexts;

/** The daemon and its home. */
export const startCodes = {
  env_file_unreadable: ["the `--env-file` cannot be read or is not UTF-8", "`ls -ld FILE`"],
  home_lost: [
    "the state directory was moved or deleted under the daemon, which ends with its VMs (`journalctl -t banger`)",
    "run any command: it starts a new daemon",
  ],
  argument_not_utf8: [
    "an argument or `--env` value is not UTF-8: the guest would get other bytes",
    "build it in the guest's shell with `printf`",
  ],
  client_gone: [
    "the client that asked for a `--rm` VM went away before the VM was created",
    "run the command again",
  ],
  input_unreadable: [
    "a command's input could not be read, and a truncated input must not look complete",
    "use another input, or `--no-stdin`",
  ],
  program_missing: ["a program is not in `PATH`", "`banger doctor` names its package"],
  network_failed: [
    "a VM's network process exited immediately (is libslirp0 installed?)",
    "`cat` the log file that the message names; `banger doctor`",
  ],
  network_silent: ["a VM's network process is gone or does not answer", "wait: banger starts a new one"],
  network_refused: ["a VM's network process refused a request", "`banger vm why`"],
  launcher_missing: ["`build/banger-launcher` is missing or not executable", "`make build`"],
  files_limit: [
    "the caller's open-file limit is too low for the command or the daemon ([inherited.md](inherited.md))",
    "`ulimit -n 1024`; only root can raise the hard limit (`ulimit -Hn`)",
  ],
  file_size_limit: [
    "the caller's file-size limit is too low for the daemon ([inherited.md](inherited.md))",
    "`ulimit -f unlimited`; only root can raise the hard limit (`ulimit -Hf`)",
  ],
  config_invalid: [
    "a key or value in the configuration is wrong; the message names the file and line",
    "[config.md](config.md) lists what is allowed",
  ],
  home_unknown: ["neither `HOME` nor the XDG variables are set", "set `HOME`"],
  home_unwritable: [
    "banger cannot write to one of its directories",
    "`ls -ld` shows the owner; take it back with `chown`",
  ],
  runtime_unsafe: [
    "the socket directory belongs to, or is writable by, another user, who could impersonate the daemon",
    "follow the hint, or use your own home: under `sudo` you get root's",
  ],
  daemon_failed: ["the daemon did not start; its last output follows", "see the output, then `daemon.log`"],
  daemon_lost: [
    "the connection to the daemon broke, for example because it was stopped",
    "run the command again",
  ],
  bad_reply: [
    "the daemon that answers is another version",
    "`banger daemon stop`; the next command starts this version",
  ],
  daemon_silent: ["the daemon did not answer in time", "`banger doctor`; the machine may be out of memory"],
  daemon_stuck: ["the daemon does not exit", "`kill` it: nothing is lost"],
  daemon_forbidden: ["the socket belongs to another user", "use your own home"],
  log_newer: ["the log was written by a newer banger; nothing was changed", "install that version"],
  log_corrupt: ["the log is damaged; nothing was changed", "keep a copy, then recover it as the hint shows"],
  log_busy: ["another daemon holds the log", "`banger daemon status`"],
  log_io: ["the log cannot be read or written", "`dmesg`: the disk may be failing"],
  daemon_not_running: [
    "the daemon is not running, and this command does not start it",
    "`banger vm list` starts one",
  ],
  daemon_stopping: ["the daemon is shutting down", "run the command again: the next daemon takes over"],
  config_unreadable: ["the configuration file cannot be read", "`ls -l` shows the owner"],
  architecture_unsupported: ["banger only runs on x86_64", "another machine"],
  kvm_unusable: [
    "hardware virtualization is not available",
    "VMs run without it, more slowly; `banger doctor` says why",
  ],
  version_conflict: ["two commands changed the same thing at once", "run the command again"],
  command_known: ["the same create was sent twice", "nothing: the first one counts"],
  id_taken: ["two VMs happened to get the same id", "run the command again"],
  stream_unknown: ["the log has no such stream", "`banger events`"],
  path_too_long: ["the state directory's path is too long for a socket", "a shorter `XDG_STATE_HOME`"],
} as const satisfies CodeTexts;

/** System mode and its root helper. */
export const systemCodes = {
  root_lost: [
    "a root disk's snapshot lost its data",
    "`banger vm delete`; the contents of `/root` are in `work.raw`",
  ],
  needs_root: ["the command changes the host", "use `sudo`, as the hint shows"],
  owner_missing: ["it is not clear who system mode should serve", "`--owner USER`, an ordinary account"],
  owner_unknown: ["it is not clear who system mode should serve", "`--owner USER`, an ordinary account"],
  owner_is_root: ["it is not clear who system mode should serve", "`--owner USER`, an ordinary account"],
  system_not_installed: [
    "system mode is not installed, belongs to another user, or its metadata was changed",
    "use the command in the hint",
  ],
  system_owned: [
    "system mode is not installed, belongs to another user, or its metadata was changed",
    "use the command in the hint",
  ],
  system_damaged: [
    "system mode is not installed, belongs to another user, or its metadata was changed",
    "use the command in the hint",
  ],
  system_foreign: [
    "one of its directories belongs to another user",
    "check what it contains, then move it away",
  ],
  systemd_missing: ["the host does not run systemd, or systemd failed", "`journalctl -xe`"],
  systemd_failed: ["the host does not run systemd, or systemd failed", "`journalctl -xe`"],
  program_untrusted: [
    "users other than root could change a program that runs as root",
    "`sudo make install`; install Node system-wide",
  ],
  firecracker_missing: [
    '`vmm = "firecracker"` is set, but no usable Firecracker was found',
    "install version 1.10 or newer with its jailer, owned by root",
  ],
  firecracker_unusable: [
    '`vmm = "firecracker"` is set, but no usable Firecracker was found',
    "install version 1.10 or newer with its jailer, owned by root",
  ],
  vms_running: ["the network cannot be changed while VMs run, or VMs could not be stopped", "stop them"],
  mode_unknown: ["`BANGER_MODE` is neither `user` nor `system`", "unset it"],
  daemon_by_systemd: [
    "systemd manages the daemon, and you may not start it",
    "`sudo systemctl start bangerd`",
  ],
  daemon_stopped: ["systemd manages the daemon, and you may not start it", "`sudo systemctl start bangerd`"],
  helper_unreachable: [
    "the root helper does not answer, or cannot see everything it needs to",
    "`journalctl -u banger-helper`",
  ],
  helper_silent: [
    "the root helper does not answer, or cannot see everything it needs to",
    "`journalctl -u banger-helper`",
  ],
  helper_blind: [
    "the root helper does not answer, or cannot see everything it needs to",
    "`journalctl -u banger-helper`",
  ],
  builder_unreachable: ["systemd has no image builder unit", "`systemctl status banger-builder.socket`"],
  helper_lost: ["the root helper exited before it answered", "try again; `journalctl -u banger-helper`"],
  helper_late: ["a call to the root helper took too long", "try again; `journalctl -u banger-helper`"],
  helper_busy: ["too many calls to the root helper at once", "banger retries"],
  helper_stopping: ["the root helper is shutting down", "banger retries"],
  helper_refused: ["the root helper refused; the message names the rule", "[privileges.md](privileges.md)"],
  helper_internal: ["a bug in the root helper", "`journalctl -u banger-helper`"],
  answer_too_long: ["the root helper's answer is too long", "`journalctl -u banger-helper`"],
  tool_late: ["a host program took too long", "banger retries"],
  tool_output: ["a host program printed too much", "`journalctl -u banger-helper`"],
  tool_garbled: ["a host program printed something unexpected", "check its version"],
  device_busy: ["a loop or mapper device is in use", "banger retries"],
  device_node: ["a device file is not the device it claims to be", "restart udev"],
  disk_empty: ["a disk file is empty", "`banger vm delete`"],
  cgroup_busy: ["some of a VM's processes are still running", "banger retries"],
  tree_busy: ["files keep appearing in a directory that is being removed", "banger retries"],
  tree_deep: ["a directory is nested too deeply to remove", "remove it by hand"],
  tree_mounted: ["something is mounted over a file to be removed", "`umount` it"],
  tap_missing: ["the VM's network interface is gone", "banger recreates it"],
  bridge_missing: ["the bridge is gone", "banger recreates it"],
  network_in_use: ["another program uses that network", "`cidr` in the configuration"],
  no_firewall: ["the host has neither nft nor iptables", "`sudo apt-get install nftables`"],
} as const satisfies CodeTexts;
