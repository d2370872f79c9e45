/** VMs as people see them. */
import type { HealthView, HistoryView, PortView, VmView } from "../../contract/contract.js";
import { formatDuration, formatSize } from "../../lib/sizes.js";
import { clean, type Style, stateColour } from "./style.js";
import { details, type TableOptions, table } from "./table.js";
import { ago, clockTime } from "./units.js";

type Spec = VmView["spec"];

/** What is not as it is for every VM. */
function netText({ mode = "public", allow = [], deny = [] }: Partial<Spec["net"]> = {}): string {
  const lists = [
    ...(allow.length > 0 ? [`allow ${allow.join(", ")}`] : []),
    ...(deny.length > 0 ? [`deny ${deny.join(", ")}`] : []),
  ];
  if (mode === "public" && lists.length === 0) return "";
  return ` · net ${mode}${lists.length > 0 ? ` (${lists.join("; ")})` : ""}`;
}

/** "4 vcpu · 8192 MiB · 8G disk · 6G root". */
export const specText = (spec: Omit<Spec, "net"> & { net?: Partial<Spec["net"]> | undefined }): string =>
  `${spec.vcpu} vcpu · ${spec.memoryMiB} MiB · ${formatSize(spec.diskMiB)} disk` +
  (spec.rootMiB === undefined ? "" : ` · ${formatSize(spec.rootMiB)} root`) +
  netText(spec.net);

/** What a VM has: of one that runs, what its guest has at the moment. */
const present = ({ spec, now }: VmView): Spec => ({ ...spec, ...now });

const fieldTexts = {
  vcpu: ({ vcpu }: Spec) => `${vcpu} vcpu`,
  memoryMiB: ({ memoryMiB }: Spec) => `${memoryMiB} MiB`,
};

/** "4 vcpu, 512 MiB": what the guest that runs will have when it has been restarted. */
const afterRestart = ({ spec, afterRestart }: VmView): string =>
  afterRestart.map((field) => fieldTexts[field](spec)).join(", ");

/** The phase, with the step of a start under way, or that the guest is paused. */
export function stateText({ phase, step, paused }: VmView): string {
  const more = paused === null ? step : "paused";
  return more === null ? phase : `${phase} (${more})`;
}

/** Why the VM is not as it is wanted, where there is more to say than that it was asked to stop. */
export function causeText(vm: VmView): string {
  if (vm.phase === "error" && vm.error !== null) return vm.error.message;
  if (vm.paused !== null) return vm.paused.detail;
  if (vm.phase === "stopped" && vm.lastExit !== null && vm.lastExit.reason !== "asked") {
    return vm.lastExit.detail;
  }
  if (vm.afterRestart.length > 0) return `after a restart: ${afterRestart(vm)}`;
  return "";
}

const sizesText = ({ vcpu, memoryMiB, diskMiB }: Spec): string =>
  `${vcpu}/${formatSize(memoryMiB)}/${formatSize(diskMiB)}`;

export function vmTable(vms: readonly VmView[], nowMs: number, options: TableOptions): string {
  const rows = vms.map((vm) => [
    vm.name,
    vm.id,
    stateText(vm),
    vm.image,
    sizesText(present(vm)),
    vm.address,
    ago(vm.createdAt, nowMs),
    causeText(vm),
  ]);
  const head = ["NAME", "ID", "STATE", "IMAGE", "CPU/MEM/DISK", "ADDRESS", "CREATED", "CAUSE"];
  return table(head, rows, { ...options, paint: { STATE: stateColour(options.style) } });
}

const labelsText = (labels: VmView["labels"]): string =>
  Object.entries(labels)
    .map(([key, value]) => (value === "" ? key : `${key}=${value}`))
    .join(", ");

const diskText = {
  fits: null,
  growing: "is growing",
  at_start: "reaches its size at the next start",
} as const;

/** What executes the guest; `notKvm` is why one that is started now would not have KVM, null where it would. */
function acceleratorText({ accelerator, name }: VmView, notKvm: string | null): string | null {
  if (accelerator !== "tcg") return accelerator;
  const why = notKvm ?? `KVM is available now: banger vm restart ${name}`;
  return `tcg: software emulation, slow (${why})`;
}

export function vmDetails(vm: VmView, notKvm: string | null, nowMs: number, style: Style): string {
  const bootMs = Date.parse(vm.readyAt ?? "") - Date.parse(vm.startedAt ?? "");
  const booted = Number.isNaN(bootMs) ? "" : `, ready after ${formatDuration(bootMs)}`;
  return details(
    [
      ["name", vm.name],
      ["id", vm.id],
      ["state", `${stateText(vm)}, since ${ago(vm.changedAt, nowMs)}`],
      ["error", vm.error && `${vm.error.message} (${vm.error.step})`],
      ["try", vm.error?.hint ?? null],
      ["paused", vm.paused && `${vm.paused.detail}, ${ago(vm.paused.at, nowMs)}`],
      ["last exit", vm.lastExit && `${vm.lastExit.detail}, ${ago(vm.lastExit.at, nowMs)}`],
      ["image", vm.image],
      ["spec", specText(present(vm))],
      ["after a restart", afterRestart(vm)],
      ["disk", vm.phase === "running" ? diskText[vm.diskSize] : null],
      ["labels", labelsText(vm.labels)],
      ["expires", vm.expiresAt && `in ${formatDuration(Math.max(0, Date.parse(vm.expiresAt) - nowMs))}`],
      ["address", vm.address],
      ["forwards", vm.forwards.map((each) => `${each.hostPort} → ${each.guestPort}`).join(", ")],
      ["accelerator", acceleratorText(vm, notKvm)],
      ["pid", vm.pid === null ? null : String(vm.pid)],
      ["created", ago(vm.createdAt, nowMs)],
      ["started", vm.startedAt && `${ago(vm.startedAt, nowMs)}${booted}`],
      ["console log", vm.consoleLog],
      ["vmm log", vm.vmmLog],
    ],
    style,
  );
}

/** `byName`: this host resolves `<name>.vm`, so that the name is of use. */
export function portTable(ports: readonly PortView[], byName: boolean, options: TableOptions): string {
  const noted = ports.some((port) => noteText(port) !== "");
  const rows = ports.map((port) => {
    const endpoint = endpointText(port, byName);
    const note = noted ? [noteText(port)] : [];
    return [port.proto, endpoint, port.process, ...note, port.command];
  });
  return table(["PROTO", "ENDPOINT", "PROCESS", ...(noted ? ["NOTE"] : []), "COMMAND"], rows, options);
}

function endpointText({ endpoint, named, url, address, port }: PortView, byName: boolean): string {
  if (endpoint === null || named === null) return `${address}:${port} in the guest`;
  if (url === null) return byName ? named : endpoint;
  return byName ? `${new URL(url).protocol}//${named}/` : url;
}

/** Why it cannot be reached, or that it leads to the guest's loopback. */
const noteText = ({ reason, endpoint, address }: PortView): string =>
  reason ?? (endpoint !== null && isLoopback(address) ? `on the guest's ${address}` : "");

const isLoopback = (address: string): boolean => address.startsWith("127.") || address === "::1";

export function healthText(health: HealthView, style: Style): string {
  const word = health.healthy ? style.green("healthy") : style.red("unhealthy");
  const uptime = health.uptimeMs === null ? "" : `, up ${formatDuration(health.uptimeMs)}`;
  const agent = health.agent === null ? "" : `, agent ${clean(health.agent)}`;
  const detail = health.detail === "" ? "" : `: ${clean(health.detail)}`;
  return `${word}${uptime}${agent}${detail}\n`;
}

export function historyText({ entries }: HistoryView, nowMs: number, style: Style): string {
  const times = entries.map((entry) => `${clockTime(entry.at, nowMs)}  ${ago(entry.at, nowMs)}`);
  const lasted = entries.map(({ durationMs }) => (durationMs === null ? "" : formatDuration(durationMs)));
  const widest = (texts: readonly string[]): number => Math.max(0, ...texts.map((text) => text.length));
  const [timeWidth, lastedWidth] = [widest(times), widest(lasted)];
  return entries
    .map(({ sentence }, index) => {
      const time = style.dim((times[index] ?? "").padStart(timeWidth));
      return `${time}  ${(lasted[index] ?? "").padStart(lastedWidth)}  ${clean(sentence)}\n`;
    })
    .join("");
}
