/** System mode as people see it. */
import type { SystemStatus } from "../../system/status.js";
import { clean, type Style } from "./style.js";
import { details, table } from "./table.js";

const firecrackerOf = (helper: SystemStatus["helper"]): string | null =>
  "problem" in helper ? null : (helper.firecracker ?? "none; VMs run in QEMU");

export function statusText(status: SystemStatus, style: Style): string {
  const { metadata, units, daemon, helper, problems } = status;
  const { owner, network, home, version } = metadata;
  const facts = details(
    [
      ["owner", `${owner.name} (uid ${owner.uid})`],
      ["installed", version === status.version ? version : `${version}; this is ${status.version}`],
      ["daemon", "problem" in daemon ? daemon.problem : `${daemon.version}, pid ${daemon.pid}`],
      ["helper", "problem" in helper ? helper.problem : helper.version],
      ["firecracker", firecrackerOf(helper)],
      ["network", `${network.address}/${network.prefixLength} on ${network.bridge}`],
      ["state", home.state],
      ["images", home.data],
      ["cache", home.cache],
      ["config", home.config],
      ["sockets", home.runtime],
    ],
    style,
  );
  const rows = units.map(({ name, active, file }) => [name, active ?? "-", file]);
  const list = table(["UNIT", "STATE", "FILE"], rows, { style });
  const bad = problems.map((problem) => `${style.yellow("problem:")} ${clean(problem)}\n`).join("");
  const hint =
    problems.length === 0 ? "" : `${style.dim("try:")} sudo banger system restart; journalctl -u bangerd\n`;
  return `${facts}\n${list}${bad === "" ? "" : "\n"}${bad}${hint}`;
}
