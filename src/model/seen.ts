/** What a look says of anything on the host. */

/** Looking at a handle: only `absent` and `present` are evidence. */
export type Seen<T = object> = ({ is: "present" } & T) | { is: "absent" } | { is: "unknown"; cause: string };
