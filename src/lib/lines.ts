/** Cuts bytes into lines of text, however they come in pieces. */
import { StringDecoder } from "node:string_decoder";

const longestChars = 65_536;

/**
 * The lines, without their ends; text behind the last end is a line too. One that is longer than `longest` comes in
 * pieces, so that no more is kept.
 */
export async function* linesOf(
  chunks: AsyncIterable<Buffer>,
  longest = longestChars,
): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
    if (rest.length >= longest) {
      yield rest;
      rest = "";
    }
  }
  rest += decoder.end();
  if (rest !== "") yield rest;
}
