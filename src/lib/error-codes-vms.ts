/** Errors of VMs and of repositories in them: what each code means, and what fixes it. */
import type { CodeTexts } from "./code-texts.js";

/** VMs and what runs in them. */
export const vmCodes = {
  cwd_unusable: ["the current directory was deleted, or you may not read or enter it", "`cd`"],
  work_disk_damaged: [
    "the file system of `/root` has damage that e2fsck does not fix by itself; the VM starts, but the disk did not grow",
    "run the command in the message while the VM is stopped",
  ],
  disk_reserved: [
    "the remaining free disk space is reserved for running VMs (`disk_reserve`)",
    "`banger vm prune`, `banger image cache prune`, or `--force`",
  ],
  memory_promised: [
    "running VMs would exceed the memory of this machine or its control group (`memory_percent` in the configuration)",
    "`banger vm list`, or `--force`",
  ],
  guest_ended: [
    "the guest powered off, rebooted or panicked while a command or shell was running",
    "after a reboot the VM comes back by itself; otherwise `banger vm why`",
  ],
  vm_not_found: [
    "no VM matches, or more than one does",
    "`banger vm list`; use a name, an id or a longer id prefix",
  ],
  ref_ambiguous: [
    "no VM matches, or more than one does",
    "`banger vm list`; use a name, an id or a longer id prefix",
  ],
  name_taken: ["the name is taken or invalid", "use another `--name`"],
  name_invalid: ["the name is taken or invalid", "use another `--name`"],
  not_now: ["the VM is changing state", "see `banger vm show`; wait, or `banger vm kill`"],
  net_invalid: [
    "an `--allow` or `--deny` value is not a name, address, network or `host:PORT`",
    "use one like `example.com:443`",
  ],
  net_unsupported: [
    "system mode has no network policies by name or address yet",
    "`--net public` or `--net none`, or user mode",
  ],
  vm_not_running: ["the command needs a running VM", "`banger vm start`"],
  vm_paused: [
    "the guest is paused: the host's disk is full, or something stopped its VMM",
    "free disk space (it then resumes by itself), or `banger vm restart`",
  ],
  vm_stopped: ["it stopped before it was ready", "`banger vm logs` shows the guest's last output"],
  deadline_exceeded: [
    "a step took too long",
    "`banger vm why`; a slow machine needs a longer `boot_timeout`",
  ],
  agent_timeout: ["the guest does not answer", "`banger vm logs`; `banger vm restart`"],
  agent_unreachable: ["the guest does not answer", "`banger vm logs`; `banger vm restart`"],
  vmm_failed: ["QEMU or Firecracker exited immediately", "`banger vm logs --source vmm`"],
  firecracker_refused: [
    "Firecracker rejected the VM's configuration; its message follows",
    "`banger vm logs --source vmm`",
  ],
  firecracker_unreachable: [
    "Firecracker does not answer on its socket",
    "banger retries; the machine may be out of memory",
  ],
  too_many_vcpus: ["Firecracker VMs have at most 32 CPUs", "`banger vm set REF --vcpu 32`"],
  qemu_missing: ["a program is not installed", "install the package in the hint"],
  tool_missing: ["a program is not installed", "install the package in the hint"],
  port_taken: ["another program uses an address that the VM needs", "`ss -ltnp` shows which"],
  disk_full: ["no space is left on the host", "`banger vm prune`, `banger image cache prune`"],
  disk_too_small: ["the image's /root does not fit on the VM's disk", "use a larger `--disk-size`"],
  disk_shrinks: [
    "disks only grow; the one for `/` is never smaller than the image",
    "a larger `--disk-size` or `--root-size`, or a new VM",
  ],
  root_size_unsupported: [
    "in system mode the disk for `/` has the size of the image",
    "`--disk-size` for `/root`, or build the image with a larger `--size`",
  ],
  addresses_exhausted: ["every address available to this home's VMs is in use", "`banger vm prune`"],
  vmm_unusable: [
    '`vmm = "firecracker"` is configured, but this is user mode',
    '`sudo banger system install`, or `vmm = "auto"`',
  ],
  image_unmanaged: [
    "the image's files are outside managed storage, where the root helper of system mode does not go",
    "`banger image promote NAME`, then create the VM again",
  ],
  root_disk_form: [
    "the VM was created on a kernel with device-mapper and this one has none, or the other way round",
    "boot the earlier kernel; the contents of `/root` are in `work.raw` in any case",
  ],
  process_stuck: [
    "QEMU cannot be killed, for example because storage hangs",
    "`/proc/PID/stack` shows where",
  ],
  not_confirmed: ["confirmation is needed, but there is no terminal", "`-f`"],
  ssh_config_damaged: [
    "banger's section in `~/.ssh/config` is incomplete",
    "remove the rest by hand, then `banger ssh-config --install`",
  ],
  vm_deleted: ["the VM was deleted in the meantime", "`banger vm list`"],
  vm_started_again: ["the VM was started again while it was stopping", "`banger vm why`"],
  sshd_unreachable: [
    "the guest is running, but nothing listens on its SSH port",
    "`banger vm logs`; `banger vm exec` does not need sshd",
  ],
  exec_not_found: ["the guest does not have that program", "check its name and `PATH`; exit status 127"],
  exec_not_executable: ["the file in the guest is not executable", "`chmod +x`; exit status 126"],
  exec_bad_cwd: ["the working directory does not exist", "`--cwd` with one that does"],
  exec_no_such_user: ["the guest has no such user", "another user"],
  exec_no_tty: ["the guest could not allocate a terminal", "without `--tty`"],
  exec_arguments_too_long: [
    "arguments and environment exceed what Linux allows",
    "pass the data through standard input",
  ],
  exec_cannot_start: [
    "the guest could not start the command",
    "`banger vm logs`; the guest may be out of memory",
  ],
  exec_gone: [
    "the guest no longer has the command: it restarted, or no client came for five minutes",
    "run it again",
  ],
  exec_failed: ["the guest reported a failure without details", "`banger vm logs`"],
  exec_lost: ["the connection to the command broke: guest, daemon or VMM ended", "`banger vm why`"],
  exec_protocol: ["the guest sent invalid command output", "`banger vm restart`"],
  agent_closed: ["the link to the guest ended", "`banger vm why`"],
  agent_released: ["the daemon released the link", "run the command again"],
  agent_busy: ["too many connections to the guest at once", "open fewer at once"],
  agent_garbled: ["the guest sent an invalid answer", "`banger vm restart`"],
  agent_refused: ["the guest's agent refused; its message follows", "see the message"],
  agent_missing: ["banger's guest agent is missing from the build", "`make build`, or install banger again"],
  qmp_timeout: ["QEMU's control connection does not answer", "`banger vm restart`"],
  qmp_closed: ["QEMU's control connection ended", "`banger vm why`"],
  qmp_busy: ["QEMU has too many unanswered requests", "banger retries"],
  qmp_refused: ["QEMU refused; its message follows", "`banger vm logs --source vmm`"],
  vmm_exited: ["the VMM exited", "`banger vm why`"],
  vmm_released: ["the daemon no longer follows the VMM", "run the command again"],
  vmm_missing: ["Firecracker is not installed for system mode", "`sudo banger system install`"],
  other_vmm: ["the VM is running under the other VMM", "`banger vm restart`"],
  vm_runs: ["a disk is not touched while its VMM is running", "banger retries"],
  disk_in_use: ["something else has the VM's disk open", "`fuser FILE` shows what"],
  growth_unseen: ["the guest does not notice that its disk has grown", "`banger vm restart`"],
  host_failed: ["an operation on the host failed; the message follows", "see the message"],
  tool_failed: ["a program failed; its last output follows", "see the message"],
  effect_without_effect: [
    "an action succeeded but had no visible effect",
    "see `daemon.log`; banger retries",
  ],
  file_sync_failed: ["a `[[file_sync]]` file cannot be copied", "the message names it"],
  ca_certificates_failed: [
    "a `[guest] ca_certificates` file contains no certificate or cannot be read",
    "the message names it",
  ],
  ssh_missing: ["the OpenSSH client is not installed", "`sudo apt-get install openssh-client`"],
  ssh_key_unusable: ["the key at `ssh_key_path` cannot be used", "use `ssh-keygen` as in the hint"],
  ssh_config_unreadable: ["`~/.ssh/config` cannot be read", "`ls -l` shows the owner"],
  ssh_config_unwritable: ["banger's SSH configuration cannot be written", "use `ls -ld` as in the hint"],
  memory_short: ["the host has too little memory left", "fewer VMs, or a smaller `--memory`"],
  boot_timeout: ["the guest did not answer in time", "`banger vm logs`; a longer `boot_timeout`"],
  wait_timeout: [
    "`vm wait --timeout`: the VM did not get that far in that time",
    "`banger vm why`; `banger vm exec NAME -- systemctl list-jobs` shows what systemd is waiting for",
  ],
  not_here: ["not available in user mode", "`sudo banger system install`"],
} as const satisfies CodeTexts;

/** Repositories in VMs. */
export const workspaceCodes = {
  dubious_ownership: [
    "the repository belongs to another user, and git refuses to use it",
    "`git config --global --add safe.directory PATH`, if you trust it",
  ],
  not_a_repository: ["the path is not inside a git work tree", "`git init`, or another path"],
  needs_full_copy: ["the repository has submodules", "`--mode full_copy`"],
  workspace_foreign: ["something else is already at that path in the guest", "another `--guest-path`"],
  workspace_busy: [
    "another prepare of this path in the guest is running",
    "run the command again when that one has finished",
  ],
  workspace_changed: ["work in the guest would be lost", "`banger vm workspace export` first"],
  workspace_missing: ["no repository was prepared there", "`banger vm workspace prepare`"],
  workspace_unfinished: [
    "a prepare is replacing the files there, or was interrupted",
    "run `banger vm workspace prepare` again",
  ],
  guest_without_git: ["the guest has no git or no tar", "install it there, as the hint shows"],
  guest_without_tar: ["the guest has no git or no tar", "install it there, as the hint shows"],
  guest_failed: [
    "a step failed in the guest, often because its disk is full",
    "`banger vm exec box -- df -h /root`",
  ],
  git_missing: ["git is not installed on this host", "`sudo apt-get install git`"],
  git_failed: ["git failed; its message follows", "see the message"],
  bad_branch: ["not a valid branch name", "another `--branch`"],
  unknown_revision: ["`--from` does not name a commit of the repository", "`git log`"],
  bad_submodule: ["a submodule's path cannot be copied", "rename it"],
  needs_work_tree: ["a bare repository has no work tree", "the path of a checkout"],
  no_commits: ["no commit was made in the guest", "leave out `--commits`"],
  tar_failed: ["some files could not be read", "try again while nothing writes to the work tree"],
} as const satisfies CodeTexts;
