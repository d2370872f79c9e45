/** Repositories made for a test with the real git, and guests of directories to put them into. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { exportPatch } from "../../src/workspace/export.js";
import type { Guest } from "../../src/workspace/guest.js";
import { type Mode, type Plan, planWorkspace } from "../../src/workspace/plan.js";
import { placeWorkspace } from "../../src/workspace/prepare.js";
import { Sink } from "../unit/agent-process.js";
import { localGuest } from "./local-guest.js";

const never = new AbortController().signal;

/** A directory with one user and their repository, and a guest's place for it. */
export class Bench {
  readonly root = mkdtempSync(join(tmpdir(), "banger-repo-"));
  readonly repo = join(this.root, "repo");
  readonly guestPath = join(this.root, "guest", "repo");
  readonly env: NodeJS.ProcessEnv;
  readonly guest = localGuest(join(this.root, "nobody"));

  constructor() {
    const gitconfig = join(this.root, "gitconfig");
    writeFileSync(
      gitconfig,
      '[user]\n\tname = Ada L\n\temail = ada@example.com\n[protocol "file"]\n\tallow = always\n',
    );
    this.env = {
      PATH: process.env["PATH"],
      GIT_CONFIG_GLOBAL: gitconfig,
      GIT_CONFIG_NOSYSTEM: "1",
      LC_ALL: "C",
    };
    mkdirSync(this.repo);
    this.git("init", "-q", "-b", "main");
  }

  /** Runs git in the repository, or elsewhere. */
  gitIn(directory: string, ...argv: string[]): string {
    const stdio = ["ignore", "pipe", "ignore"] as ["ignore", "pipe", "ignore"];
    return execFileSync("git", argv, { cwd: directory, env: this.env, stdio }).toString("latin1");
  }

  git(...argv: string[]): string {
    return this.gitIn(this.repo, ...argv);
  }

  guestGit(...argv: string[]): string {
    return this.gitIn(this.guestPath, ...argv);
  }

  /** `path` may hold any bytes, one each character. */
  write(path: string, text: string, directory = this.repo): void {
    const whole = Buffer.from(`${directory}/${path}`, "latin1");
    mkdirSync(Buffer.from(dirname(`${directory}/${path}`), "latin1"), { recursive: true });
    writeFileSync(whole, text);
  }

  link(path: string, target: string): void {
    symlinkSync(target, Buffer.from(`${this.repo}/${path}`, "latin1"));
  }

  commit(message = "change"): void {
    this.git("add", "-A");
    this.git("commit", "-q", "--allow-empty", "-m", message);
  }

  plan(options: Partial<Plan["options"]> & { path?: string } = {}): Promise<Plan> {
    const {
      path = this.repo,
      mode = "shallow_overlay" as Mode,
      includeUntracked = false,
      ...branch
    } = options;
    return planWorkspace(path, { mode, includeUntracked, ...branch }, this.env, never);
  }

  async prepare(
    options: Partial<Plan["options"]> & { path?: string; readonly?: boolean } = {},
  ): Promise<Plan> {
    const plan = await this.plan(options);
    await placeWorkspace(plan, this.guest, {
      guestPath: this.guestPath,
      readonly: options.readonly === true,
      fallbackScratch: join(this.root, "scratch"),
    });
    return plan;
  }

  async exported(guest: Guest = this.guest): Promise<{ patch: string; notes: string[] }> {
    const output = new Sink();
    const notes = await exportPatch(guest, this.guestPath, output);
    return { patch: Buffer.concat(output.chunks).toString("latin1"), notes };
  }

  async patch(): Promise<string> {
    return (await this.exported()).patch;
  }

  /** Applies a patch to the host's work tree. */
  apply(patch: string): void {
    execFileSync("git", ["apply", "-"], {
      cwd: this.repo,
      env: this.env,
      input: Buffer.from(patch, "latin1"),
    });
  }

  /** The tree of everything in a work tree that is not ignored. */
  treeOf(directory: string): string {
    const env = { ...this.env, GIT_INDEX_FILE: join(this.root, "tree-index") };
    const run = (...argv: string[]) =>
      execFileSync("git", argv, { cwd: directory, env, stdio: ["ignore", "pipe", "ignore"] })
        .toString()
        .trim();
    rmSync(env.GIT_INDEX_FILE, { force: true });
    run("add", "-A");
    return run("write-tree");
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

export async function withBench(use: (bench: Bench) => Promise<void>): Promise<void> {
  const bench = new Bench();
  try {
    await use(bench);
  } finally {
    bench.dispose();
  }
}

export const statusOf = (bench: Bench, directory: string, ...flags: string[]) =>
  bench.gitIn(directory, "status", "--porcelain", "-z", ...flags);

/** Status and diffs of the guest's checkout are those of the host's. */
export function assertSame(bench: Bench, ...flags: string[]): void {
  const status = statusOf(bench, bench.guestPath, ...flags);
  assert.equal(status, statusOf(bench, bench.repo, ...flags));
  for (const diff of [["diff"], ["diff", "--cached"]]) {
    assert.equal(bench.guestGit(...diff, "--binary"), bench.git(...diff, "--binary"));
  }
}

/** Another place for the bench's repository. */
export const moved = (bench: Bench, repo: string): Bench =>
  Object.assign(Object.create(bench) as Bench, { repo });

export function threeCommits(bench: Bench): void {
  for (const text of ["1\n", "2\n", "3\n"]) {
    bench.write("a", text);
    bench.write("dir/b", text);
    bench.commit(text.trim());
  }
}

/** Equal on both sides, sound for git, and a change of `file` comes home. */
export async function assertRoundTrip(bench: Bench, file = "a", status: string[] = []): Promise<void> {
  assertSame(bench, ...status);
  assert.equal(bench.guestGit("log", "--format=%H"), bench.git("log", "--format=%H", "-n", logged(bench)));
  bench.guestGit("fsck", "--strict");
  bench.guestGit("gc", "-q");
  assert.equal(await bench.patch(), "");
  const text = `${readFileSync(join(bench.guestPath, file), "latin1")}changed\n`;
  bench.write(file, text, bench.guestPath);
  bench.apply(await bench.patch());
  assert.equal(readFileSync(join(bench.repo, file), "latin1"), text);
}

/** Commits of the guest's HEAD, as far as its history goes. */
export const logged = (bench: Bench): string => bench.guestGit("rev-list", "--count", "HEAD").trim();
