/** `banger system install|status|restart|uninstall`. */
import { loadConfig } from "../config/config.js";
import { helperClient } from "../effects/helper/client.js";
import { homeHandles, systemHandles, systemHome } from "../home/handles.js";
import { deadline } from "../lib/deadline.js";
import { BangerError } from "../lib/errors.js";
import { checkHost, checkRoot, hostTraits } from "../system/checks.js";
import { programRunner, type SystemHost } from "../system/host.js";
import { install as bringTo, checkOwner } from "../system/install.js";
import { type Installation, installationOf, readInstalled } from "../system/installation.js";
import { findOwner, type Owner } from "../system/owner.js";
import { checkPrograms, runningPrograms } from "../system/programs.js";
import { systemStatus } from "../system/status.js";
import { isInstalled, uninstall as takeAway } from "../system/uninstall.js";
import { vmmPrograms } from "../system/vmm-programs.js";
import { command } from "./base/command.js";
import { confirmed } from "./base/confirm.js";
import { answer, type Context, changed, print, printJson, say } from "./base/context.js";
import { stageLines } from "./render/stage-lines.js";
import { progressOutput, styleFor } from "./render/style.js";
import { statusText } from "./render/system.js";
import { programVersion } from "./version.js";
import { act } from "./vm/act.js";

const places = systemHandles();
/** Longer than the helper gives its own tools. */
const helperDeadlineMs = 60_000;
const notInstalled = () =>
  new BangerError("system_not_installed", "system mode is not installed on this host", {
    hint: "sudo banger system install",
  });

/** The same command's context, with the daemon of system mode. */
function systemContext(context: Context): Context {
  const home = systemHome(context.home.config);
  const socketPath = homeHandles(home).apiSocket;
  return changed(context, { mode: "system", home }, { socketPath, owner: null });
}

function hostOf(context: Context): SystemHost {
  const helper = helperClient(places.helperSocket);
  return {
    places,
    env: context.env,
    run: programRunner(context.env),
    async ask(method, params) {
      const late = () =>
        new BangerError("helper_silent", "the root helper did not answer", {
          hint: "journalctl -u banger-helper",
          retry: "later",
        });
      const bound = deadline(context.clock, helperDeadlineMs, late, context.interrupts.signal);
      try {
        return await helper.call(method, params, bound.signal);
      } finally {
        bound.release();
      }
    },
    daemon: systemContext(context).client.passive,
    stage: stageLines(progressOutput(context), context.clock, styleFor(context.stderr, context.env)),
    note: (text) => say(context, `note: ${text}`),
  };
}

/** What this version installs for the owner, whose configuration it reads. Changes nothing. */
async function wantedFor(host: SystemHost, owner: Owner): Promise<Installation> {
  const programs = await runningPrograms(host);
  checkPrograms(programs);
  const home = systemHome(`${owner.directory}/.config/banger`);
  const config = loadConfig(homeHandles(home).configFile);
  const vmm = await vmmPrograms(host, config, host.env["PATH"] ?? "");
  return installationOf({ version: programVersion(), owner, home, config, programs, vmm });
}

const thisUid = (): number => process.getuid?.() ?? 0;

export const install = command({
  summary: "Install system mode: the daemon runs under systemd, with a root helper for taps and devices",
  usage: "[--owner USER]",
  examples: ["sudo banger system install", "banger system install --owner ann"],
  flags: {
    owner: { type: "string", valueHint: "USER", description: "User it serves (default with sudo: you)" },
  },
  async run(flags, { context }) {
    checkRoot(thisUid(), "system install");
    checkHost(hostTraits());
    const host = hostOf(context);
    const owner = await findOwner(host, flags.owner, context.env);
    const previous = readInstalled(places.metadata);
    checkOwner(previous, owner);
    const next = await host.stage("checks", () => wantedFor(host, owner));
    await bringTo(host, next, previous);
    const told = `system mode serves ${owner.name}; see banger system status\n`;
    await answer(context, { installed: true, version: programVersion(), owner: owner.name }, told);
    return 0;
  },
});

export const restart = command({
  summary: "Apply the owner's configuration and restart helper and daemon; VMs keep running",
  usage: "",
  examples: ["sudo banger system restart"],
  flags: {},
  async run(_flags, { context }) {
    checkRoot(thisUid(), "system restart");
    const previous = readInstalled(places.metadata);
    if (previous === undefined) throw notInstalled();
    const host = hostOf(context);
    const owner = await findOwner(host, previous.owner.name, context.env);
    checkOwner(previous, owner);
    const next = await host.stage("checks", () => wantedFor(host, owner));
    await bringTo(host, next, previous);
    await answer(context, { restarted: true }, "helper and daemon restarted; VMs kept running\n");
    return 0;
  },
});

export const status = command({
  summary: "Show what is installed and whether it runs; exit status 1 if something is wrong",
  usage: "[flags]",
  examples: ["banger system status", "banger system status --json"],
  flags: {},
  async run(flags, { context }) {
    const metadata = readInstalled(places.metadata);
    if (metadata === undefined) {
      if (context.json) await printJson(context, { installed: false, version: programVersion() });
      else say(context, "system mode is not installed; sudo banger system install");
      return 1;
    }
    const host = hostOf(context);
    const found = await systemStatus(host, metadata, programVersion(), await runningPrograms(host));
    if (context.json) await printJson(context, { installed: true, ...found });
    else await print(context, statusText(found, styleFor(context.stdout, context.env)));
    return found.problems.length === 0 ? 0 : 1;
  },
});

function purgeQuestion(purge: boolean): string {
  const also = purge ? " and delete all VMs, images and the event log" : "; their disks stay";
  return `Stop all VMs of system mode and uninstall it${also}?`;
}

/** A daemon that cannot be reached knows no VM that runs; what it may have left the helper takes down. */
async function stopVms(context: Context): Promise<void> {
  const system = systemContext(context);
  const vms = await system.client.call("vmList").catch((error: unknown) => {
    if (error instanceof BangerError && error.code === "daemon_not_running") return [];
    throw error;
  });
  const running = vms.filter(({ phase }) => phase !== "stopped" && phase !== "error");
  if (running.length === 0) return;
  const { ok } = await act(
    system,
    "stop",
    running.map(({ id }) => id),
    { quiet: false },
  );
  if (ok) return;
  throw new BangerError("vms_running", "some VMs could not be stopped", {
    hint: "banger vm kill $(banger vm list -q); then: sudo banger system uninstall",
  });
}

export const uninstall = command({
  summary: "Stop all VMs and uninstall system mode",
  usage: "[flags]",
  examples: ["sudo banger system uninstall", "sudo banger system uninstall --purge --yes"],
  flags: {
    purge: { type: "boolean", description: "Also delete VMs' disks, images, the cache and the event log" },
    yes: { type: "boolean", alias: "y", description: "Do not ask" },
  },
  async run(flags, { context }) {
    checkRoot(thisUid(), "system uninstall");
    const host = hostOf(context);
    const purge = flags.purge === true;
    if (!isInstalled(host) && !purge) {
      if (context.json) await printJson(context, { uninstalled: false, purged: false });
      say(context, "system mode is not installed");
      return 0;
    }
    if (
      !flags.yes &&
      !(await confirmed(context, purgeQuestion(purge), "sudo banger system uninstall --yes"))
    ) {
      say(context, "nothing was changed");
      return 1;
    }
    await takeAway(host, { purge, stopVms: () => stopVms(context) });
    const kept = purge ? "" : `; disks, images and the log stay in ${places.base} and ${places.cache}`;
    await answer(context, { uninstalled: true, purged: purge }, `system mode is uninstalled${kept}\n`);
    return 0;
  },
});
