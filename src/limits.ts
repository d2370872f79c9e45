/** What a VM can be at least and at most; the CLI checks it without loading the schemas that say the same. */

export const limits = {
  vcpu: { minimum: 1, maximum: 64 },
  memoryMiB: { minimum: 128, maximum: 1024 * 1024 },
  diskMiB: { minimum: 64, maximum: 16 * 1024 * 1024 },
} as const;
