/** The helper's frame: bytes to lines to requests, each line judged by itself. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type Answer, type Failure, type MethodName, methods, type Request } from "./contract.js";
import { longestAnswer } from "./limits.js";
import { errorOf, HostFailure, Refusal } from "./refusal.js";

const newline = 10;

/** Cuts a stream into lines of at most `longest` bytes, the newline included. */
export class Lines {
  #parts: Buffer[] = [];
  #length = 0;

  constructor(private readonly longest: number) {}

  /** Whether a line has begun and not ended. */
  get open(): boolean {
    return this.#length > 0;
  }

  /** Hands on each line that ends in `data`; false when one is too long, after which nothing makes sense any more. */
  take(data: Buffer, line: (bytes: Buffer) => void): boolean {
    let rest = data;
    for (let end = rest.indexOf(newline); end >= 0; end = rest.indexOf(newline)) {
      if (this.#length + end + 1 > this.longest) return false;
      const whole = Buffer.concat([...this.#parts, rest.subarray(0, end)]);
      this.#parts = [];
      this.#length = 0;
      rest = rest.subarray(end + 1);
      line(whole);
    }
    if (rest.length > 0) this.#parts.push(rest);
    this.#length += rest.length;
    return this.#length < this.longest;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const id = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Envelope = Type.Object(
  { id, method: Type.String(), params: Type.Unknown() },
  { additionalProperties: false },
);

export interface Refused {
  /** As far as the line had one. */
  id: number | null;
  refusal: Refusal;
}

/** The request of one line, or by which rule it is none: `utf-8`, `json`, `request`, `method`, `params`. */
export function readRequest(line: Buffer): Request | Refused {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(line));
  } catch (error) {
    const rule = error instanceof SyntaxError ? "json" : "utf-8";
    return { id: null, refusal: new Refusal(rule, `the line is not ${rule === "json" ? "JSON" : "UTF-8"}`) };
  }
  if (!Value.Check(Envelope, value))
    return {
      id: idOf(value),
      refusal: new Refusal("request", "a request must be an object with exactly id, method and params"),
    };
  const { method, params } = value;
  if (!Object.hasOwn(methods, method))
    return { id: value.id, refusal: new Refusal("method", `there is no method ${JSON.stringify(method)}`) };
  const schema = methods[method as MethodName].params;
  if (Value.Check(schema, params)) return { id: value.id, method, params } as Request;
  const first = Value.Errors(schema, params).First();
  const where = `${first?.path || "/"}: ${first?.message}`;
  return {
    id: value.id,
    refusal: new Refusal("params", `the parameters of ${method} are wrong at ${where}`),
  };
}

function idOf(value: unknown): number | null {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, "id")) return null;
  const found = (value as { id: unknown }).id;
  return Value.Check(id, found) ? found : null;
}

/** The line of an answer; one that is too long becomes a failure. */
export function answerLine(answer: Answer): Buffer {
  const line = Buffer.from(`${JSON.stringify(answer)}\n`);
  if (line.length <= longestAnswer) return line;
  const tooLong = new HostFailure("answer_too_long", `the answer has ${line.length} bytes`, "never");
  return Buffer.from(`${JSON.stringify({ id: answer.id, error: errorOf(tooLong) } satisfies Failure)}\n`);
}
