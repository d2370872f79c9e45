/** What a Firecracker's logs tell of its end. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  describeFirecrackerEnd,
  firecrackerRefusal,
  firecrackerStartError,
  hasHalted,
} from "../../src/effects/vmm/firecracker/exit.js";
import { BangerError } from "../../src/lib/errors.js";

const line = (words: string) => `2030-01-01T00:00:00.000000000 [banger-0123abcd:main] ${words}\n`;
const ended = { asked: false, halted: false, vmmLog: "", console: "" };
const left = line("Vmm is stopping.") + line("Firecracker exiting successfully. exit_code=0");

describe("describeFirecrackerEnd", () => {
  const cases = [
    [{ ...ended, vmmLog: left }, "reboot", /rebooted/],
    [{ ...ended, vmmLog: left, asked: true }, "reboot", /rebooted/],
    [{ ...ended, vmmLog: left, console: "Kernel panic - not syncing: x" }, "panic", /panicked: x$/],
    [{ ...ended, halted: true, asked: true }, "guest", /powered off/],
    [{ ...ended, asked: true }, "asked", /as requested/],
    [ended, "lost", /exited unexpectedly/],
    [
      { ...ended, vmmLog: line("bad thing") + line("Firecracker exiting with error. exit_code=148") },
      "lost",
      /status 148: bad thing$/,
    ],
    [
      { ...ended, vmmLog: line("Received KVM_EXIT_INTERNAL_ERROR signal") + left },
      "lost",
      /could not continue: KVM_EXIT_INTERNAL_ERROR$/,
    ],
    [{ ...ended, vmmLog: line("Received KVM_EXIT_SHUTDOWN signal") + left }, "reboot", /rebooted/],
  ] as const;
  for (const [end, reason, detail] of cases)
    test(`${JSON.stringify(end)} is ${reason}`, () => {
      const exit = describeFirecrackerEnd(end);
      assert.equal(exit.reason, reason);
      assert.match(exit.detail, detail);
    });
});

test("a guest has halted when that is the last that its kernel says", () => {
  assert.equal(hasHalted("\n[   35.629452] reboot: System halted\r\n"), true);
  assert.equal(hasHalted("[   35.629452] reboot: Power down\n"), true);
  assert.equal(hasHalted("[   35.629452] reboot: Restarting system\n"), false);
  assert.equal(hasHalted("reboot: System halted\nlogin: "), false);
});

test("a start that failed is told by its cause", () => {
  const log = line("Error creating KVM object: No such file or directory (os error 2)");
  assert.equal(firecrackerStartError("0123abcd", log).code, "kvm_unusable");
  const other = firecrackerStartError("0123abcd", line("something else"));
  assert.equal(other.code, "vmm_failed");
  assert.match(other.message, /: something else$/);
});

test("a refusal whose cause is known gets its name, and everything else stays what it is", () => {
  const refused = (message: string) => new BangerError("firecracker_refused", message);
  assert.equal((firecrackerRefusal(refused("Cannot allocate memory")) as BangerError).code, "memory_short");
  const unknown = refused("no such thing");
  assert.equal(firecrackerRefusal(unknown), unknown);
  const other = new Error("Cannot allocate memory");
  assert.equal(firecrackerRefusal(other), other);
});
