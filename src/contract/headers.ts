/** Headers, apart from the schemas: the command line loads these without the others. */

/** The id of a command that outlives the daemon which carries it. */
export const sessionHeader = "banger-session";
/** Of such a command's frames, how many bytes have come. */
export const receivedHeader = "banger-received";

/** Of the log's bytes, where a reply with them begins. */
export const logOffsetHeader = "banger-log-offset";
