/** What people read: tables, details, errors, stages and the doctor's lines. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { confirmed } from "../../src/cli/base/confirm.js";
import { verdict } from "../../src/cli/base/follow.js";
import { errorJson, errorText } from "../../src/cli/render/error.js";
import { stageReport } from "../../src/cli/render/stages.js";
import {
  type Output,
  plainStyle,
  progressOutput,
  stateColour,
  styleFor,
} from "../../src/cli/render/style.js";
import { table } from "../../src/cli/render/table.js";
import { ago, clockTime } from "../../src/cli/render/units.js";
import { causeText, specText, vmDetails, vmTable } from "../../src/cli/render/vm.js";
import { inOrder } from "../../src/cli/vm/act.js";
import { prunable } from "../../src/cli/vm/prune.js";
import { type Result } from "../../src/cli/vm/result.js";
import { systemClock } from "../../src/lib/clock.js";
import { BangerError } from "../../src/lib/errors.js";
import { eventView, vmView } from "../doubles/views.js";

const now = Date.parse("2026-01-01T00:03:10.000Z");

function recorder(isTTY: boolean): { output: Output; text: () => string } {
  let text = "";
  const output = {
    isTTY,
    columns: 80,
    once: () => output,
    write: (chunk: string) => {
      text += chunk;
      return true;
    },
  };
  return { output: output as unknown as Output, text: () => text };
}

test("a VM that runs is shown with what its guest has, and beside it what a restart brings", () => {
  const changed = vmView({
    spec: { vcpu: 2, memoryMiB: 1024, diskMiB: 8192, net: { mode: "none", allow: [], deny: [] } },
    now: { vcpu: 2, memoryMiB: 512 },
    afterRestart: ["memoryMiB"],
  });
  const text = vmDetails(changed, null, now, plainStyle);
  assert.match(text, /^spec +2 vcpu · 512 MiB · 8G disk · net none$/m);
  assert.match(text, /^after a restart +1024 MiB$/m);
  assert.match(
    vmTable([changed], now, { style: plainStyle, width: undefined }),
    / 2\/512M\/8G .*after a restart: 1024 MiB/,
  );
  assert.doesNotMatch(vmDetails(vmView(), null, now, plainStyle), /restart/);
});

test("a VM in software is shown with the reason, or with how it gets KVM by now", () => {
  const emulated = vmView({ accelerator: "tcg" });
  const why = "/dev/kvm: Permission denied";
  assert.match(
    vmDetails(emulated, why, now, plainStyle),
    /^accelerator +tcg: .*\(\/dev\/kvm: Permission denied\)$/m,
  );
  assert.match(vmDetails(emulated, null, now, plainStyle), /^accelerator +tcg: .*banger vm restart box\)$/m);
  assert.match(vmDetails(vmView(), null, now, plainStyle), /^accelerator +kvm$/m);
});

test("a VM's line has its phase, and a cause only when there is one", () => {
  const lost = { reason: "lost", detail: "killed by SIGKILL", at: "2026-01-01T00:02:00.000Z" };
  const text = vmTable([vmView(), vmView({ name: "gone", phase: "stopped", lastExit: lost })], now, {
    style: plainStyle,
  });
  const [head, running, stopped] = text.split("\n");
  assert.match(head ?? "", /^NAME\s+ID\s+STATE/);
  assert.match(running ?? "", /^box\s+0a1b2c3d\s+running\s+debian-slim\s+4\/8G\/8G\s+127\.7\.0\.1\s+3m ago$/);
  assert.match(stopped ?? "", /killed by SIGKILL$/);
  assert.equal(causeText(vmView({ phase: "stopped", lastExit: { ...lost, reason: "asked" } })), "");
  assert.equal(specText(vmView().spec), "4 vcpu · 8192 MiB · 8G disk");
});

test("a table is cut to the terminal, and nothing in it reaches the terminal as a command", () => {
  const rows = [["a", `evil\u001b]0;title\u0007 ${"x".repeat(100)}`]];
  const line = table(["N", "COMMAND"], rows, { style: plainStyle, width: 40 }).split("\n")[1] ?? "";
  assert.ok(line.length <= 40, line);
  assert.doesNotMatch(line, /[\u001b\u0007]/);
  assert.ok(line.endsWith("…"));
});

test("an error is two lines, and the same as JSON", () => {
  const error = new BangerError("vm_not_found", 'no VM is named "x"', { hint: "banger vm list" });
  assert.equal(errorText(error, plainStyle), 'banger: no VM is named "x"\n  try: banger vm list\n');
  assert.equal(errorText(new Error("boom"), plainStyle), "banger: boom\n");
  assert.deepEqual(JSON.parse(errorJson(error)).error.code, "vm_not_found");
});

test("colours appear on a terminal only, and never with NO_COLOR", () => {
  assert.equal(styleFor({ isTTY: true }, {}).red("x"), "\u001b[31mx\u001b[39m");
  assert.equal(styleFor({ isTTY: true }, { NO_COLOR: "1" }).red("x"), "x");
  assert.equal(styleFor({ isTTY: true }, { TERM: "dumb" }).red("x"), "x");
  assert.equal(styleFor({ isTTY: false }, {}).red("x"), "x");
});

test("times are relative", () => {
  assert.equal(ago("2026-01-01T00:03:09.000Z", now), "just now");
  assert.equal(ago("2026-01-01T00:02:30.000Z", now), "40s ago");
  assert.equal(ago("2025-12-30T00:00:00.000Z", now), "2d ago");
});

test("a start is plain lines with durations where there is no terminal, one live line where there is", () => {
  const events = ["start_requested", "disk_attached", "network_attached", "process_started", "ready"];
  const stages = (isTTY: boolean, quiet = false, env: NodeJS.ProcessEnv = {}): string => {
    const { output: stderr, text } = recorder(isTTY);
    const output = progressOutput({ stderr, env });
    const report = stageReport({ output, clock: systemClock, style: plainStyle, quiet, keep: false });
    events.forEach((type, index) => report.see(eventView(index + 1, `vm.${type}`)));
    report.close();
    return text();
  };
  assert.equal(stages(false), "disk (100ms)\nnetwork (100ms)\nvirtual machine (100ms)\nguest (100ms)\n");
  assert.equal(stages(false, true), "");
  assert.equal(stages(true, false, { TERM: "dumb" }), stages(false));
  assert.match(stages(true), /booting the guest/);
  assert.doesNotMatch(stages(true), /\n/);
});

test("a VM is judged by where it was sent", () => {
  const error = { step: "agent", code: "boot_timeout", message: "no answer", retry: "never" } as const;
  assert.equal(verdict(vmView(), "running"), "done");
  assert.equal(verdict(vmView({ phase: "starting" }), "running"), "wait");
  assert.equal(verdict(vmView(), "booted"), "done");
  assert.equal(verdict(vmView({ bootedAt: null }), "booted"), "wait");
  assert.equal(verdict(vmView({ bootedAt: null }), "running"), "done");
  assert.equal((verdict(vmView({ phase: "stopped" }), "booted") as BangerError).code, "vm_stopped");
  assert.equal(verdict(vmView({ phase: "stopping" }), "stopped"), "wait");
  assert.equal(verdict(vmView({ phase: "deleting" }), "deleted"), "wait");
  assert.equal(verdict(undefined, "deleted"), "done");
  const codeOf = (found: ReturnType<typeof verdict>) => (found instanceof BangerError ? found.code : found);
  assert.equal(codeOf(verdict(vmView({ phase: "error", error }), "running")), "boot_timeout");
  assert.equal(codeOf(verdict(vmView({ phase: "stopped" }), "running")), "vm_stopped");
  assert.equal(codeOf(verdict(vmView({ phase: "starting" }), "stopped")), "vm_started_again");
  assert.equal(codeOf(verdict(undefined, "running")), "vm_deleted");
});

test("results come in the order of the refs, however they end", () => {
  const results: Result[] = ["a", "b", "c"].map((name) => ({ ref: name, name, id: name, end: undefined }));
  const shown: string[] = [];
  const flush = inOrder(results, ({ name }) => shown.push(name));
  const end = (index: number) => {
    (results[index] as Result).end = "done";
    flush();
  };
  end(2);
  assert.deepEqual(shown, []);
  end(0);
  assert.deepEqual(shown, ["a"]);
  end(1);
  assert.deepEqual(shown, ["a", "b", "c"]);
});

test("prune takes what is stopped or in error, and nothing on its way", () => {
  const phases = ["stopped", "starting", "running", "stopping", "error", "deleting"];
  const left = prunable(phases.map((phase) => vmView({ phase })));
  assert.deepEqual(
    left.map(({ phase }) => phase),
    ["stopped", "error"],
  );
});

test("a table leaves out columns that say nothing, shortens digests, and colours states on a terminal", () => {
  const digest = `sha256:${"ab".repeat(32)}`;
  const rows = [
    ["box", "running", "", digest],
    ["off", "stopped", "", "x"],
  ];
  const head = ["NAME", "STATE", "CAUSE", "SOURCE"];
  const plain = table(head, rows, { style: plainStyle });
  assert.equal(plain, "NAME  STATE    SOURCE\nbox   running  sha256:abababababab…\noff   stopped  x\n");
  assert.match(table(head, [], { style: plainStyle }), /CAUSE/);
  const style = styleFor({ isTTY: true }, {});
  const painted = table(head, rows, { style, paint: { STATE: stateColour(style) } });
  assert.match(painted, /box {3}\u001b\[32mrunning\u001b\[39m {2}sha256/);
  assert.equal(painted.replace(/\u001b\[\d+m/g, ""), plain);
});

test("a time of another day comes with its day", () => {
  const at = new Date(2026, 0, 31, 10, 15, 3);
  assert.equal(clockTime(at.toISOString(), at.getTime() + 1000), "10:15:03");
  assert.equal(clockTime(at.toISOString(), at.getTime() + 86_400_000), "2026-01-31 10:15:03");
});

test("a question is answered by yes alone: a bare return, anything else and the end of input are no", async () => {
  for (const [typed, expected] of [
    ["y\n", true],
    ["YES\n", true],
    ["\n", false],
    ["yeah\n", false],
    ["", false],
  ] as const) {
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    const stderr = Object.assign(new PassThrough(), { isTTY: true });
    const context = { stdin, stderr, interrupts: { signal: new AbortController().signal } };
    const asked = confirmed(context as never, "Delete it?", "banger vm prune -f");
    stdin.end(typed);
    assert.equal(await asked, expected, JSON.stringify(typed));
    assert.equal(stderr.read()?.toString(), "Delete it? [y/N] ");
  }
});
