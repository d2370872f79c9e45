/** The doctor's judgement of facts. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Result } from "../../helper/contract.js";
import type { DaemonView } from "../../src/contract/daemon.js";
import { oddAttributes } from "../../src/doctor/attributes.js";
import { factOf } from "../../src/doctor/check.js";
import { doctorChecks, type HostFacts } from "../../src/doctor/doctor.js";
import type { SystemFacts } from "../../src/doctor/system.js";
import { BangerError } from "../../src/lib/errors.js";
import { until } from "../e2e/harness.js";

const GiB = 1024 ** 3;
const source = "built-in";
const healthy: HostFacts = {
  architecture: "x64",
  kvm: { usable: true },
  qemu: { program: "qemu-system-x86_64", version: { ok: "QEMU emulator version 7.2.22 (Debian 1:7.2)" } },
  process: { landlock: { ok: 7 }, root: false, inherited: { ok: [] } },
  system: { vmm: "auto", installed: null },
  tools: {
    "qemu-img": { ok: "/q" },
    mke2fs: { ok: "/m" },
    ssh: { ok: "/s" },
    "ssh-keygen": { ok: "/k" },
    mmdebstrap: { ok: "/d" },
  },
  places: [{ path: "/state", problem: null }],
  freeBytes: { ok: { path: "/", bytes: 100 * GiB } },
  image: { ok: { name: "debian-slim", is: "in the catalog" } },
  defaults: {
    ok: {
      image: "debian-slim",
      vcpu: { value: 1, source },
      memoryMiB: { value: 512, source },
      diskMiB: { value: 8192, source },
      rootMiB: { value: null, source },
    },
  },
  daemon: { ok: null },
  unknownVms: { ok: [] },
  dnsListen: { ok: "127.0.0.1:42069" },
  ssh: { ok: { included: false, written: false } },
  log: { ok: null },
};

const failed = { failed: { code: "x", message: "it broke", hint: "hint it", retry: "never" } } as const;
const statusOf = (changes: Partial<HostFacts>, name: string) => {
  const check = doctorChecks({ ...healthy, ...changes }).find((each) => each.name === name);
  assert.ok(check, name);
  assert.equal(check.hint === undefined, check.status === "pass", "a hint goes with whatever did not pass");
  return check.status;
};

test("a machine that has everything passes every check", () => {
  const checks = doctorChecks(healthy);
  assert.deepEqual(
    checks.filter(({ status }) => status !== "pass"),
    [],
  );
});

test("attributes that a daemon should not have are named", async () => {
  const odd = "ulimit -S -n 300 -t 5000; exec nice -n 3 sleep 60";
  const child = spawn("bash", ["-c", odd], { stdio: "ignore" });
  try {
    const sleeps = () => readFileSync(`/proc/${child.pid}/comm`, "utf8") === "sleep\n";
    await until("the odd process has been executed", sleeps);
    assert.deepEqual(oddAttributes(`/proc/${child.pid}`), [
      "nice 3",
      "300 open files (ulimit -n)",
      "cpu time 5000 (ulimit -t)",
    ]);
  } finally {
    child.kill();
  }
});

test("each lack is a warning or a failure of its own", () => {
  assert.equal(statusOf({ architecture: "arm64" }, "architecture"), "fail");
  assert.equal(statusOf({ kvm: { usable: false, why: "no svm", hint: "none" } }, "kvm"), "warn");
  assert.equal(
    statusOf({ qemu: { program: "q", version: { ok: "QEMU emulator version 5.2.0" } } }, "qemu"),
    "fail",
  );
  assert.equal(statusOf({ qemu: { program: "q", version: failed } }, "qemu"), "fail");
  const processWith = (changes: Partial<HostFacts["process"]>) => ({
    process: { ...healthy.process, ...changes },
  });
  assert.equal(statusOf(processWith({ landlock: { ok: 0 } }), "confinement"), "warn");
  assert.equal(statusOf(processWith({ landlock: failed }), "confinement"), "fail");
  assert.equal(statusOf(processWith({ root: true }), "root"), "warn");
  assert.equal(statusOf(processWith({ inherited: { ok: ["nice 19"] } }), "inherited"), "warn");
  assert.equal(statusOf({ tools: { ...healthy.tools, mke2fs: failed } }, "mke2fs"), "fail");
  assert.equal(statusOf({ places: [{ path: "/state", problem: "EACCES" }] }, "directory"), "fail");
  assert.equal(statusOf({ freeBytes: { ok: { path: "/", bytes: 5 * GiB } } }, "disk space"), "warn");
  assert.equal(statusOf({ freeBytes: { ok: { path: "/", bytes: GiB } } }, "disk space"), "fail");
  assert.equal(statusOf({ image: failed }, "image"), "fail");
  assert.equal(statusOf({ defaults: failed }, "vm defaults"), "fail");
  assert.equal(statusOf({ daemon: failed }, "daemon"), "fail");
  const unknownVms = { ok: [{ id: "0123abcd", pid: 42, directory: null }] };
  assert.equal(statusOf({ unknownVms }, "unknown vms"), "warn");
  const [told] = doctorChecks({ ...healthy, unknownVms }).filter(({ status }) => status === "warn");
  assert.match(told?.detail ?? "", /0123abcd \(pid 42\)/);
  assert.equal(told?.hint, "banger vm kill --unknown 0123abcd");
  assert.equal(statusOf({ unknownVms: failed }, "unknown vms"), "fail");
  const serving = (dns: string | null) => ({ daemon: { ok: { pid: 1, dns } } });
  assert.equal(statusOf(serving("127.0.0.1:42069"), "dns"), "pass");
  assert.equal(statusOf(serving("127.0.0.1:999"), "dns"), "warn");
  assert.equal(statusOf(serving(null), "dns"), "warn");
  assert.equal(statusOf({ ssh: { ok: { included: true, written: true } } }, "ssh-config"), "pass");
  assert.equal(statusOf({ ssh: { ok: { included: true, written: false } } }, "ssh-config"), "warn");
  assert.equal(statusOf({ log: { ok: { faults: ["page 3"] } } }, "log"), "fail");
});

type Installed = NonNullable<SystemFacts["installed"]>;
const ids = { ids: [] };
const about = {
  ...{ version: "1", deviceMapper: true, firewall: "nft" as const, resolver: true },
  ...{ firecracker: "1.16.1", problem: null },
};
const look = {
  ...{ bridge: true, tapPool: { size: 0 }, resolver: { port: 42069 } },
  ...{ taps: ids, strayTaps: ids, nats: ids },
  ...{ rootDevices: ids, strayDevices: ids, jails: ids },
};

/** Status of a check where system mode is installed and its helper, or its host, is otherwise. */
function inSystemMode(name: string, change: Partial<Installed> = {}, vmm: SystemFacts["vmm"] = "auto") {
  const helper = { ok: { about, look } };
  return statusOf(
    { system: { vmm, installed: { version: "1", helper, missingDevices: [], ...change } } },
    name,
  );
}

const helperSays = (change: Partial<typeof about> | object) => ({
  helper: { ok: { about: { ...about, ...change }, look } },
});

test("system mode is judged by its parts where it is installed, and elsewhere only if it is asked for", () => {
  const asked = (vmm: SystemFacts["vmm"]) => statusOf({ system: { vmm, installed: null } }, "system mode");
  assert.deepEqual(
    [asked("auto"), asked("qemu"), asked(null), asked("firecracker")],
    [...["pass", "pass", "pass"], "fail"],
  );
  const names = ["helper", "firecracker", "devices", "device-mapper", "firewall", "bridge", "resolver"];
  for (const name of names) assert.equal(inSystemMode(name), "pass", name);
  assert.equal(inSystemMode("qemu"), "pass");
  assert.equal(inSystemMode("helper", { version: "2" }), "warn");
  assert.equal(inSystemMode("helper", { helper: failed }), "fail");
  const lost = helperSays({ firecracker: null, problem: "too old" });
  assert.equal(inSystemMode("firecracker", lost), "pass");
  assert.equal(inSystemMode("firecracker", lost, "firecracker"), "fail");
  assert.equal(inSystemMode("devices", { missingDevices: ["/dev/loop-control"] }), "warn");
  assert.equal(inSystemMode("device-mapper", helperSays({ deviceMapper: false })), "pass");
  assert.equal(inSystemMode("firewall", helperSays({ firewall: null })), "fail");
  assert.equal(inSystemMode("resolver", helperSays({ resolver: false })), "warn");
  const seeing = (change: Partial<Result<"look">>) => ({
    helper: { ok: { about, look: { ...look, ...change } } },
  });
  assert.equal(inSystemMode("bridge", seeing({ bridge: { unknown: "no nft" } })), "warn");
  assert.equal(inSystemMode("resolver", seeing({ resolver: { port: null } })), "pass");
});

test("the bridge is judged by what the daemon made of it, where one runs", () => {
  const since = new Date(0).toISOString();
  const error = {
    code: "network_in_use",
    message: "eth1 lies there",
    retry: "never",
    effect: "ensureBridge",
  } as const;
  const checkOf = (bridge: boolean, network?: DaemonView["network"]) => {
    const installed = {
      version: "1",
      helper: { ok: { about, look: { ...look, bridge } } },
      missingDevices: [],
    };
    const daemon = { ok: network === undefined ? null : { pid: 1, dns: null, network } };
    const checks = doctorChecks({ ...healthy, daemon, system: { vmm: "auto", installed } });
    return checks.find(({ name }) => name === "bridge");
  };
  assert.equal(checkOf(true)?.status, "pass");
  assert.match(checkOf(false)?.detail ?? "", /when the daemon starts/);
  assert.equal(checkOf(true, { phase: "ready", since, error: null })?.status, "pass");
  assert.equal(checkOf(false, { phase: "pending", since, error: null })?.status, "warn");
  const failed = checkOf(false, { phase: "error", since, error: { ...error, hint: "set cidr" } });
  assert.deepEqual([failed?.status, failed?.hint], ["warn", "set cidr"]);
  assert.match(failed?.detail ?? "", /ensureBridge failed and will be retried: eth1 lies there/);
});

test("a look that throws is a fact with the error's own hint", async () => {
  const fact = await factOf(() => {
    throw new BangerError("config_invalid", "line 3", { hint: "fix line 3" });
  });
  assert.deepEqual(fact, {
    failed: { code: "config_invalid", message: "line 3", hint: "fix line 3", retry: "never" },
  });
});
