/** Headers of replies, apart from the schemas: the command line loads these without the others. */

/** Of the log's bytes, where a reply with them begins. */
export const logOffsetHeader = "banger-log-offset";
