/** How the tables of error codes are written. */

/** By code: what it means, and what to do about it, as the documentation says it. */
export type CodeTexts = Readonly<Record<string, readonly [meaning: string, fix: string]>>;
