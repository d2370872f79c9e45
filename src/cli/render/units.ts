/** Times and sizes as people read them. */

/** Bounds of 10 and more units lose their fraction: "1.4s", "12s", "3m 20s", "2h 5m". */
export function duration(ms: number): string {
  if (ms < 9_950) return `${(Math.max(0, ms) / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return two(seconds, 60, "m", 1, "s");
  if (seconds < 86_400) return two(seconds, 3600, "h", 60, "m");
  return two(seconds, 86_400, "d", 3600, "h");
}

function two(seconds: number, big: number, bigUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((seconds % big) / small);
  const head = `${Math.floor(seconds / big)}${bigUnit}`;
  return rest === 0 ? head : `${head} ${rest}${smallUnit}`;
}

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

/** "8G", "1536M": whole GiB where it is one. */
export const mebibytes = (miB: number): string => (miB % 1024 === 0 ? `${miB / 1024}G` : `${miB}M`);

/** "412 MiB", "1.3 GiB". */
export function bytes(count: number): string {
  const miB = count / (1024 * 1024);
  return miB < 1024 ? `${Math.round(miB)} MiB` : `${(miB / 1024).toFixed(1)} GiB`;
}
