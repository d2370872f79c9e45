/** Times and sizes as people read them, beside those of sizes.ts. */

/** How long ago an RFC 3339 time was: "just now", "40s ago", "3m ago", "2d ago". */
export function ago(time: string, nowMs: number): string {
  const seconds = Math.floor((nowMs - Date.parse(time)) / 1000);
  if (!Number.isFinite(seconds)) return time;
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ago`;
  return `${Math.floor(seconds / 86_400)}d ago`;
}

/** "412 MiB", "1.3 GiB". */
export function bytes(count: number): string {
  const miB = count / (1024 * 1024);
  return miB < 1024 ? `${Math.round(miB)} MiB` : `${(miB / 1024).toFixed(1)} GiB`;
}
