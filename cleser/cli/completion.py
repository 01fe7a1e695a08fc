"""``cleser completion``: a script with which a shell completes ``cleser`` commands."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from typing import Final, Literal

from tyro.conf import Positional

from cleser.plugins import PluginError

Shell = Literal["bash", "zsh", "fish"]

_BASH = """\
_cleser() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" found=""
    case "${{COMP_WORDS[*]:1:COMP_CWORD-1}} " in
{cases}
    esac
    COMPREPLY=($(compgen -W "$found" -- "$current"))
}}
complete -o default -F _cleser cleser
"""

_ZSH = """\
#compdef cleser
_cleser() {{
    local current="$words[CURRENT]" found=""
    case "${{(j: :)words[2,CURRENT-1]}} " in
{cases}
    esac
    compadd -- ${{=found}} || _files
}}
if [ "$funcstack[1]" = "_cleser" ]; then _cleser "$@"; else compdef _cleser cleser; fi
"""

_FISH = """\
function __cleser_after
    set -l before (commandline -opc)
    string match -q -- $argv[1] "$before[2..-1] "
end
{cases}
"""


def completion(shell: Positional[Shell]) -> None:
    """Print a script with which a shell completes commands, recipes and flags.

    Save it in a file that the shell reads. For bash: cleser completion bash >
    ~/.local/share/bash-completion/completions/cleser; for zsh: cleser completion zsh > _cleser in a folder of $fpath;
    for fish: cleser completion fish > ~/.config/fish/completions/cleser.fish.

    Args:
        shell: The shell.
    """
    print(script(shell, following()), end="")


def following() -> dict[str, list[str]]:
    """Words that may follow each command: the commands of a group, the recipes of run and tune, or else flags."""
    from cleser.cli import BY_RECIPE, COMMANDS
    from cleser.experiments.methods import METHODS

    found: dict[str, list[str]] = {}
    for name in COMMANDS:
        lines = [f"{name} {recipe}" for recipe in METHODS] if name in BY_RECIPE else [name]
        for line in lines:
            *before, last = line.split()
            for depth, word in enumerate((*before, last)):
                known = found.setdefault(" ".join(line.split()[:depth]), [])
                known += [word] * (word not in known)
            found[line] = _flags(line)
    return found


def _flags(line: str) -> list[str]:
    """The flags of a command, from its help."""
    from cleser.cli import GLOBAL_FLAGS, dispatch

    said = io.StringIO()
    # A recipe that cannot be imported has no flags; whoever gives it is told why.
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit, PluginError):
        dispatch([*line.split(), "--help"])
    lines = re.findall(_FLAGS, said.getvalue(), re.MULTILINE)
    flags = [flag for line in lines for flag in line.split(", ")]
    return [*dict.fromkeys(flag for flag in flags if flag.startswith("--")), *GLOBAL_FLAGS]


_FLAGS: Final = r"^. (--?[a-z][\w.-]*(?:, --?[a-z][\w.-]*)*)"  # as "| -h, --help"


def script(shell: Shell, words: dict[str, list[str]]) -> str:
    """The script that the shell reads.

    Args:
        shell: The shell.
        words: The words that may follow those of each key.
    """
    case, whole = _SCRIPTS[shell]
    longest_first = sorted(words, key=lambda line: -len(line.split()))
    return whole.format(cases="\n".join(case(line, words[line]) for line in longest_first))


def _branch(line: str, words: list[str]) -> str:
    """A branch of ``case``: flags are completed where one has begun, else files are."""
    flags = words[0].startswith("--")
    pattern = f'"{line} "*' if flags else f'"{line} "'
    condition = "[[ $current == -* ]] && " if flags else ""
    return f'        {pattern}) {condition}found="{" ".join(words)}" ;;'


def _line_of_fish(line: str, words: list[str]) -> str:
    flags = words[0].startswith("--")
    if flags:
        condition = f"__cleser_after '{line} *'"
        return "\n".join(f'complete -c cleser -n "{condition}" -l {word[2:]}' for word in words)
    return f"complete -c cleser -f -n \"__cleser_after '{line} '\" -a '{' '.join(words)}'"


_SCRIPTS: Final[dict[str, tuple[Callable[[str, list[str]], str], str]]] = {
    "bash": (_branch, _BASH),
    "zsh": (_branch, _ZSH),
    "fish": (_line_of_fish, _FISH),
}
