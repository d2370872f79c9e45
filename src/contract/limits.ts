/** What a VM can be at least and at most; the CLI checks it without loading the schemas that say the same. */

export const limits = {
  vcpu: { minimum: 1, maximum: 64 },
  memoryMiB: { minimum: 128, maximum: 1024 * 1024 },
  diskMiB: { minimum: 64, maximum: 16 * 1024 * 1024 },
  labels: 64,
  netEntries: 200,
  /** As Docker and Kubernetes have them, more or less: what a filter can name without quotes. */
  labelKey: "^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$",
  labelValue: "^[^\\u0000-\\u001f\\u007f]{0,256}$",
} as const;
