/** What the end of a QEMU process means. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { describeEnd, startError } from "../../src/effects/vmm/qemu/exit.js";

const panic = "[    9.1] Kernel panic - not syncing: Attempted to kill init!\u001b\n[    9.2] CPU: 0 PID: 1";

describe("describeEnd", () => {
  const cases = [
    [{ shutdownReason: "guest-shutdown", asked: false }, "guest", /powered off/],
    [{ shutdownReason: "guest-reset", asked: false }, "reboot", /rebooted/],
    [
      { shutdownReason: "guest-reset", asked: false, console: panic },
      "panic",
      /^the guest's kernel panicked: Attempted/,
    ],
    [
      { shutdownReason: "guest-reset", asked: false, console: `${panic}\nreboot: Restarting system` },
      "reboot",
      /./,
    ],
    [{ shutdownReason: "guest-panic", asked: false }, "panic", /^the guest's kernel panicked$/],
    [
      { shutdownReason: "guest-panic", asked: false, console: panic },
      "panic",
      /panicked: Attempted to kill init!$/,
    ],
    [
      { shutdownReason: "host-qmp-quit", asked: true, child: { code: 0, signal: null } },
      "asked",
      /as requested/,
    ],
    [{ shutdownReason: "host-qmp-quit", asked: false }, "asked", /control socket/],
    [{ asked: true, child: { code: null, signal: "SIGKILL" } }, "asked", /as requested/],
    [{ asked: false, child: { code: null, signal: "SIGKILL" } }, "lost", /killed by SIGKILL/],
    [{ shutdownReason: "host-signal", asked: false }, "lost", /an outside signal/],
    [{ asked: false, child: { code: 1, signal: null }, lastLine: "no" }, "lost", /status 1: no/],
    [{ asked: false }, "lost", /exited unexpectedly/],
  ] as const;
  for (const [end, reason, detail] of cases)
    test(`${JSON.stringify(end)} is ${reason}`, () => {
      const exit = describeEnd(end);
      assert.equal(exit.reason, reason);
      assert.match(exit.detail, detail);
    });
});

describe("startError", () => {
  const failed = (log: string) => startError("0123abcd", log, { code: 1, signal: null });

  test("known words get a name of their own", () => {
    const codes = {
      'qemu-system-x86_64: -drive x: Failed to get "write" lock\nIs another process using it?': "disk_in_use",
      "qemu-system-x86_64: cannot set up guest memory 'ram': Cannot allocate memory": "memory_short",
      "Could not access KVM kernel module: Permission denied": "kvm_unusable",
      "qemu-system-x86_64: -chardev socket: Address already in use": "port_taken",
    };
    for (const [log, code] of Object.entries(codes)) assert.equal(failed(log).code, code);
  });

  test("unknown words are passed on, their end only", () => {
    const error = failed("one\ntwo\n/usr/bin/qemu-system-x86_64: three\nfour\n");
    assert.equal(error.code, "vmm_failed");
    assert.match(error.message, /status 1\): two; three; four$/);
    assert.match(error.hint ?? "", /vm logs 0123abcd/);
  });
});
