/** Writes handles.json, where people can read what is there; banger itself never reads it. */
import { mkdir } from "node:fs/promises";
import { type Home, homeHandles } from "../home/handles.js";
import { publishContent } from "../host/publish.js";
import { sharedRun } from "../host/shared-run.js";
import { errorBody } from "../lib/errors.js";
import type { Warn } from "../lib/warn.js";

export interface HandlesCache {
  /** Takes note of what is there now; the file follows when that is something new. */
  show(handles: object): void;
  /** Resolves when no write is under way; nothing is written after it. */
  close(): Promise<void>;
}

/** A failure to write costs people a file and nothing else, so it is only told. */
export function handlesCache(home: Home, warn: Warn): HandlesCache {
  let shown = "";
  let closed = false;
  const write = sharedRun(async () => {
    if (closed) return;
    try {
      await mkdir(home.state, { recursive: true, mode: 0o700 });
      await publishContent(homeHandles(home).handlesCache, shown, 0o600);
    } catch (thrown) {
      warn("handles.json was not written", { error: errorBody(thrown) });
    }
  });
  return {
    show(handles) {
      const content = `${JSON.stringify(handles, null, 1)}\n`;
      if (content === shown) return;
      shown = content;
      void write();
    },
    close() {
      closed = true;
      return write();
    },
  };
}
