/** The world contract on this host in system mode: in a network namespace of its own, by the hand of the real helper. */
import { test } from "node:test";
import { noNamespaces, runInNamespace } from "../helper/in-namespace.js";

test("system mode does on this host what the simulation says", { skip: noNamespaces }, () =>
  runInNamespace(new URL("./system-child.js", import.meta.url).pathname, [], 300_000),
);
