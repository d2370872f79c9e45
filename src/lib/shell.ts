/** Words for shells. */

/** One word of a POSIX shell's, whatever is in it; plain words stay as they are. */
export const shellQuote = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
