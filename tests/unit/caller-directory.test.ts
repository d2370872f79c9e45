/** The directory that banger is called in: gone, or below the top of a repository. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFrame, frameType } from "../../src/guest/exec-frames.js";
import { exit, switching, withHost } from "../doubles/cli-host.js";
import { vmView } from "../doubles/views.js";

test("in a directory that is gone, what needs none works, and the rest says so in a sentence", () =>
  withHost(async ({ api, through }) => {
    api.on("GET /v1/vms", () => [vmView()]);
    const inGone = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"';
    const listed = await through(inGone, ["vm", "list", "-q"]);
    assert.deepEqual({ ...listed, stderr: "" }, { status: 0, stdout: "0a1b2c3d\n", stderr: "" });
    for (const argv of [
      ["vm", "run", ".", "--", "true"],
      ["vm", "workspace", "prepare", "box"],
      ["image", "register", "--name", "x", "--rootfs", "x.ext4"],
    ]) {
      const { status, stderr } = await through(inGone, argv);
      assert.notEqual(status, 0);
      assert.match(stderr, /banger: the current directory is gone, or may not be read\n {2}try: cd\n$/);
    }
  }));

test("a directory that the caller may not enter is named, with whose it is or what opens it", () =>
  withHost(async ({ through }) => {
    const asNobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    const script =
      process.getuid?.() === 0
        ? `exec ${asNobody} "$@"`
        : 'mkdir -p shut && cd shut && chmod 000 . && "$@"; status=$?; cd .. && chmod 700 shut; exit $status';
    const [others, own] = [
      /belongs to root, and you .* to enter it\n {2}try: cd,/,
      /enter .*\n {2}try: chmod u\+rwx /,
    ];
    for (const path of [".", "below"]) {
      const { status, stderr } = await through(script, ["vm", "run", path, "--", "true"]);
      assert.equal(status, 125, stderr);
      assert.match(stderr, process.getuid?.() === 0 ? others : own);
      assert.match(stderr, /^banger: git cannot work in \//);
    }
  }));

test("an export says how to apply it whole when it is asked for below the top of a repository", () =>
  withHost(async ({ api, through }) => {
    api.onExec((_asked, stream) => {
      stream.write(switching);
      stream.write(encodeFrame(frameType.stdout, Buffer.from("diff --git a/a b/a\n")));
      stream.write(exit({ code: 0 }));
    });
    const exported = ["vm", "workspace", "export", "box"];
    const inRepository = 'mkdir -p r/sub && git init -q r && cd r && exec "$@"';
    assert.equal((await through(inRepository, exported)).stderr, "");
    assert.equal((await through('mkdir -p plain && cd plain && exec "$@"', exported)).stderr, "");
    const inSub = 'cd r/sub && exec "$@"';
    for (const argv of [exported, [...exported, "-o", "file"]]) {
      const { status, stderr } = await through(inSub, argv);
      assert.equal(status, 0);
      assert.match(
        stderr,
        /only applies changes in sub\/; .*: git -C "\$\(git rev-parse --show-toplevel\)" apply\n$/,
      );
    }
  }));
