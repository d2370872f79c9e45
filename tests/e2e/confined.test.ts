/** A real guest behind a confined QEMU, in a network of its own: what it reaches, and what it never does. */
import { test } from "node:test";
import { noNamespaces, runInNamespace } from "../helper/in-namespace.js";
import { withHome } from "./harness.js";

const child = new URL("./confined-child.js", import.meta.url).pathname;

test(
  "a guest of user mode reaches what its policy says, and nothing else of its host",
  {
    skip: noNamespaces,
  },
  () =>
    withHome(async (home) => {
      // Images are made outside, where there is a network.
      await home.run(["image", "pull", "debian-slim"], { timeoutMs: 900_000 });
      await runInNamespace(child, [], 600_000);
    }),
);
