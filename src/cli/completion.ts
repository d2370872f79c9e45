/** `banger completion`: the few lines that teach a shell to ask `banger __complete`. */
import { usageError } from "./base/check.js";
import { command } from "./base/command.js";
import { print } from "./base/context.js";

const scripts: Readonly<Record<string, string>> = {
  bash: `_banger() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(banger __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _banger banger
`,
  zsh: `#compdef banger
_banger() {
  local line
  local -a found
  banger __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null | while IFS= read -r line; do
    found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( \${#found} )); then _describe banger found; else _files; fi
}
compdef _banger banger
`,
  fish: `function __banger_complete
  set -l words (commandline -opc) (commandline -ct)
  banger __complete -- $words[2..-1] 2>/dev/null
end
complete -c banger -f -a '(__banger_complete)'
`,
};

export const completion = command({
  summary: "Print a shell script that completes banger's commands, flags, VMs and images",
  usage: "bash|zsh|fish",
  examples: [
    "echo 'eval \"$(banger completion bash)\"' >>~/.bashrc",
    "echo 'eval \"$(banger completion zsh)\"' >>~/.zshrc",
    "banger completion fish >~/.config/fish/completions/banger.fish",
  ],
  withoutJson: "for shells to read",
  words: { min: 1, max: 1, name: "bash|zsh|fish" },
  flags: {},
  async run(_flags, { context, words: [shell = ""] }) {
    const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
    if (script === undefined)
      throw usageError(`there is no completion for "${shell}"`, "banger completion bash");
    await print(context, script);
    return 0;
  },
});
