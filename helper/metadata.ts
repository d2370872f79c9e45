/** What `banger system install` wrote down for the helper: whom it serves, and where; owned by root. */
import type { Home } from "../src/handles.js";

export interface Metadata {
  version: string;
  owner: { uid: number; gid: number; name: string };
  home: Home;
  network: {
    /** `br-fc` or `br-fc-*`. */
    bridge: string;
    /** The bridge's own IPv4 address; guests have the others of its network. */
    address: string;
    /** 8…30. */
    prefixLength: number;
  };
  /** Absolute paths; null where the host had none at installation. */
  firecracker: string | null;
  jailer: string | null;
}
