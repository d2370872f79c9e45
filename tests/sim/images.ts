/** The images of a run: one of the catalog, which VMs are made of, and others that need a kernel. */
import type { PullCommand } from "../../src/core/decide.js";

const kernelId = "kernel-sim-00000009";
/** -1 is the kernel. */
export const imageId = (n: number) => (n < 0 ? kernelId : `sim-${n}-0000000${n}`);

/** The first image is of the catalog; the others come from a registry and need a kernel. */
export function wantedImage(n: number): Omit<PullCommand, "kind"> {
  const wanted = { imageId: imageId(n), name: `sim-${n}`, source: { kind: "catalog" } as const };
  if (n === 0) return wanted;
  const reference = `registry.example/sim:${n}`;
  const source = { kind: "oci", reference, digest: `sha256:${n}`, sizeMiB: null, kernelId } as const;
  const need = { imageId: kernelId, name: "sim-kernel", source: { kind: "catalog" } as const };
  return { ...wanted, source, need };
}
