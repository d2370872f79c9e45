/** Opens a path below a root in a mount namespace of its own, and prints the rule that refused it. */
import { constants } from "node:fs";
import { openBelow } from "../../helper/paths.js";
import { Refusal } from "../../helper/refusal.js";

const [root = "", relative = ""] = process.argv.slice(2);
try {
  openBelow(root, relative, constants.O_RDONLY);
  console.log("opened");
} catch (error) {
  console.log(error instanceof Refusal ? error.rule : error);
}
