/** Every command by its words, each loaded only when it is called: a command pays for itself alone. */
import type { Command } from "./base/command.js";

export interface Leaf {
  summary: string;
  alias?: string;
  /** For programs, not for people: help and completion do not show it. */
  hidden?: boolean;
  /** It takes something away that cannot be had back: nobody is led to it by a guess. */
  destroys?: boolean;
  load: () => Promise<Command>;
}

export interface Group {
  summary: string;
  alias?: string;
  commands: Record<string, Node>;
  /** What the group's own word does when no command follows it. */
  itself?: Leaf;
}

export type Node = Leaf | Group;

/** The commands of a group that are for people. */
export const shown = (group: Group): [string, Node][] =>
  Object.entries(group.commands).filter(([, node]) => !("hidden" in node));

export const isGroup = (node: Node): node is Group => "commands" in node;

const workspace: Group = {
  summary: "A host repository in a VM",
  commands: {
    prepare: {
      summary: "Put a repository into a VM",
      load: async () => (await import("./vm/workspace.js")).prepare,
    },
    export: {
      summary: "Print the changes made there as a patch",
      load: async () => (await import("./vm/workspace.js")).exportChanges,
    },
  },
};

const vm: Group = {
  summary: "Disposable Linux VMs",
  commands: {
    run: {
      summary: "Create a VM and run a shell or a command in it",
      load: async () => (await import("./vm/run.js")).run,
    },
    create: {
      summary: "Create a VM and start it",
      load: async () => (await import("./vm/create.js")).create,
    },
    start: { summary: "Start VMs", load: async () => (await import("./vm/act.js")).start },
    stop: { summary: "Shut down VMs", load: async () => (await import("./vm/act.js")).stop },
    restart: {
      summary: "Restart VMs",
      load: async () => (await import("./vm/act.js")).restart,
    },
    wait: {
      summary: "Wait until VMs are up, or have stopped",
      load: async () => (await import("./vm/wait.js")).wait,
    },
    kill: {
      summary: "Stop VMs immediately",
      destroys: true,
      load: async () => (await import("./vm/act.js")).kill,
    },
    delete: {
      summary: "Delete VMs and their disks",
      alias: "rm",
      destroys: true,
      load: async () => (await import("./vm/act.js")).remove,
    },
    set: {
      summary: "Change a VM's CPUs, memory, disk or network",
      load: async () => (await import("./vm/set.js")).set,
    },
    list: { summary: "List VMs", alias: "ls", load: async () => (await import("./vm/list.js")).list },
    show: { summary: "Show one VM", load: async () => (await import("./vm/list.js")).show },
    logs: {
      summary: "Print a VM's console or VMM log",
      load: async () => (await import("./vm/logs.js")).logs,
    },
    exec: {
      summary: "Run a command in a VM",
      load: async () => (await import("./vm/exec.js")).exec,
    },
    ssh: { summary: "Open an SSH session to a VM", load: async () => (await import("./vm/ssh.js")).ssh },
    health: {
      summary: "Check whether a VM's guest is healthy",
      load: async () => (await import("./vm/ask.js")).health,
    },
    stats: {
      summary: "Show a VM's CPU, memory and disk usage",
      load: async () => (await import("./vm/stats.js")).stats,
    },
    ports: {
      summary: "List a VM's listening ports and where to reach them",
      load: async () => (await import("./vm/ask.js")).ports,
    },
    history: {
      summary: "Show a VM's history with durations",
      load: async () => (await import("./vm/ask.js")).history,
    },
    why: {
      summary: "Explain how a VM got into its current state",
      load: async () => (await import("./vm/ask.js")).why,
    },
    workspace,
    prune: {
      summary: "Delete all VMs that are not running",
      destroys: true,
      load: async () => (await import("./vm/prune.js")).prune,
    },
  },
};

const image: Group = {
  summary: "Images for VMs",
  commands: {
    list: { summary: "List images", alias: "ls", load: async () => (await import("./image/image.js")).list },
    show: { summary: "Show one image", load: async () => (await import("./image/image.js")).show },
    pull: {
      summary: "Build a catalog image or pull one from a registry",
      load: async () => (await import("./image/image.js")).pull,
    },
    register: {
      summary: "Register an image from files on this host",
      load: async () => (await import("./image/image.js")).register,
    },
    promote: {
      summary: "Copy a registered image into managed storage",
      load: async () => (await import("./image/image.js")).promote,
    },
    delete: {
      summary: "Delete images",
      alias: "rm",
      destroys: true,
      load: async () => (await import("./image/image.js")).remove,
    },
    cache: {
      summary: "Downloads from registries",
      commands: {
        prune: {
          summary: "Empty it",
          destroys: true,
          load: async () => (await import("./image/image.js")).cachePrune,
        },
      },
    },
  },
};

const kernel: Group = {
  summary: "Kernels that images boot with",
  commands: {
    list: {
      summary: "List kernels",
      alias: "ls",
      load: async () => (await import("./image/kernel.js")).list,
    },
    show: { summary: "Show one kernel", load: async () => (await import("./image/kernel.js")).show },
    pull: {
      summary: "Build a kernel from the catalog",
      load: async () => (await import("./image/kernel.js")).pull,
    },
    import: {
      summary: "Copy a kernel from a directory",
      load: async () => (await import("./image/kernel.js")).importKernel,
    },
    rm: {
      summary: "Delete kernels",
      alias: "delete",
      destroys: true,
      load: async () => (await import("./image/kernel.js")).remove,
    },
  },
};

const events: Group = {
  summary: "The event log",
  itself: { summary: "Print events", load: async () => (await import("./events.js")).events },
  commands: {
    verify: {
      summary: "Replay the log and compare it with the live state",
      load: async () => (await import("./events.js")).verify,
    },
    replay: {
      summary: "Print the state at an earlier event",
      load: async () => (await import("./events.js")).replay,
    },
  },
};

const daemon: Group = {
  summary: "The background daemon",
  commands: {
    status: {
      summary: "Tell whether the daemon runs",
      load: async () => (await import("./daemon.js")).status,
    },
    stop: {
      summary: "Stop the daemon; VMs keep running",
      load: async () => (await import("./daemon.js")).stop,
    },
  },
};

const system: Group = {
  summary: "System mode: systemd services and a root helper",
  commands: {
    install: { summary: "Install it", load: async () => (await import("./system.js")).install },
    status: {
      summary: "Show whether it is installed and running",
      load: async () => (await import("./system.js")).status,
    },
    restart: {
      summary: "Restart helper and daemon; VMs keep running",
      load: async () => (await import("./system.js")).restart,
    },
    uninstall: {
      summary: "Uninstall it",
      destroys: true,
      load: async () => (await import("./system.js")).uninstall,
    },
  },
};

export const root: Group = {
  summary: "Disposable Linux microVMs on your own machine",
  commands: {
    vm,
    image,
    kernel,
    events,
    daemon,
    system,
    doctor: {
      summary: "Check that this machine has what banger needs",
      load: async () => (await import("./doctor.js")).doctor,
    },
    completion: {
      summary: "Print shell completion",
      load: async () => (await import("./completion.js")).completion,
    },
    __complete: {
      summary: "Print possible completions",
      hidden: true,
      load: async () => (await import("./complete.js")).complete,
    },
    "ssh-config": {
      summary: "Let plain ssh reach your VMs by name",
      load: async () => (await import("./ssh-config.js")).sshConfig,
    },
    "ssh-proxy": {
      summary: "Carry one SSH connection",
      hidden: true,
      load: async () => (await import("./ssh-config.js")).sshProxy,
    },
    version: { summary: "Print the version", load: async () => (await import("./version.js")).version },
  },
};
