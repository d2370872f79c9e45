/** Times as people read them, beside those of sizes.ts. */

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

/** The time of day here, with its day where that is not today's: "10:15:03", "2026-01-31 10:15:03". */
export function clockTime(time: string, nowMs: number): string {
  const parts = (date: Date) => {
    const two = (value: number) => String(value).padStart(2, "0");
    const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    return { day, clock: [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":") };
  };
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return time;
  const { day, clock } = parts(at);
  return day === parts(new Date(nowMs)).day ? clock : `${day} ${clock}`;
}
