/** Pure: the rules by which the host's udev leaves alone what guests write to. */
import { systemHandles } from "../home/handles.js";

/** After the name by which device-mapper's own rules are told about a device, before any that reads one. */
export const udevRulesName = "12-banger.rules";

/**
 * udev reads each new block device as root, to find file systems on it. On a root device a guest wrote them, on the
 * loops below it the owner. These are the flags by which its own rules are told to leave a device alone.
 */
export function udevRules(): string {
  const { base } = systemHandles();
  const silenced = (...flags: string[]) =>
    [...flags, "UDISKS_IGNORE"].map((flag) => `ENV{${flag}}="1", `).join("") + 'OPTIONS:="nowatch"';
  const device = ["SUBSYSTEM", "DISK", "OTHER"].map((each) => `DM_UDEV_DISABLE_${each}_RULES_FLAG`);
  return [
    "# banger: no program of the host reads what guests have written.",
    'SUBSYSTEM!="block", GOTO="banger_end"',
    'ACTION=="remove", GOTO="banger_end"',
    `ATTR{dm/name}=="fc-rootfs-*", ${silenced(...device)}`,
    `ATTR{loop/backing_file}=="${base}/*", ${silenced("UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG")}`,
    'LABEL="banger_end"',
    "",
  ].join("\n");
}
