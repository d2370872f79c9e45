/** Real guests on taps that the root helper's methods make, in a network namespace: what they reach and what never. */
import { test } from "node:test";
import { imageHandles } from "../../src/home/handles.js";
import { ensureInitrd } from "../../src/images/kernel/initrd.js";
import { noNamespaces, runInNamespace } from "../helper/in-namespace.js";
import { withHome } from "./harness.js";

const agent = new URL("../../../build/banger-agent", import.meta.url).pathname;
const child = new URL("./tap-guests-child.js", import.meta.url).pathname;

test(
  "guests on taps reach what they may, get out by NAT alone, and speak as themselves",
  {
    skip: noNamespaces,
  },
  () =>
    withHome(async (home) => {
      await home.run(["image", "pull", "debian-slim"], { timeoutMs: 900_000 });
      const { id } = await home.json<{ id: string }>("image", "show", "debian-slim");
      const { directory } = imageHandles(home.home, id);
      await runInNamespace(child, [directory, await ensureInitrd(directory, agent)], 600_000);
    }),
);
