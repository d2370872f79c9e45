/** Names for VMs that were given none: two friendly words. */

const adjectives = (
  "amber bold brave brisk calm clever crisp daring eager early fair fleet fond gentle glad golden hardy honest jolly " +
  "keen kind lively lucid lucky mellow merry mild neat nimble noble plucky polite proud quick quiet rapid ready " +
  "robust rosy sharp shiny sleek smart snug solid spry steady sturdy sunny swift tidy vivid warm witty young zesty"
).split(" ");
const nouns = (
  "acorn badger beacon birch bison brook cedar comet coral crane delta dune falcon fern finch fjord fox gecko glade " +
  "harbor hare hawk heron ibis iris jay kestrel lark lemur lily lynx maple marten meadow mole moth newt oak orca osprey " +
  "otter owl panda pebble pine plover puffin quail raven reef robin sable seal spruce stork swan tern tiger wren yak"
).split(" ");

/** One name such as "brisk-otter"; `random` yields numbers in [0, 1). */
export function suggestName(random: () => number): string {
  const pick = (words: readonly string[]) => words[Math.floor(random() * words.length)] as string;
  return `${pick(adjectives)}-${pick(nouns)}`;
}
