/** How a room tells the daemon's log of what went wrong and fails nobody. */
export type Warn = (message: string, details: object) => void;
