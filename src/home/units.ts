/** Names of system mode's units (src/system/units.ts). */
export const daemonUnit = "bangerd.service";
export const helperUnit = "banger-helper.service";
export const helperSocketUnit = "banger-helper.socket";
export const builderUnit = "banger-builder@.service";
export const builderSocketUnit = "banger-builder.socket";
