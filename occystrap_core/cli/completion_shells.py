"""Completion by shells: the scripts that they run, and the format of the answers.

With click's own scripts, bash splits words at `:` and `=`, and adds a space after `registry://`; these avoid both.
"""
import os
from typing import Any

from click.shell_completion import CompletionItem, FishComplete, ShellComplete, ZshComplete, split_arg_string
from click.shell_completion import add_completion_class

from occystrap_core.cli.completion import complete_path

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        if [[ $kind == open ]]; then compopt -o nospace; fi
        COMPREPLY+=("$value")
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete \\
             "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a ended open ended_shown open_shown
    local kind value help
    while IFS=$'\\t' read -r kind value help; do
        if [[ $kind == open ]]; then
            open+=("$value"); open_shown+=("$value${help:+  -- $help}")
        else
            ended+=("$value"); ended_shown+=("$value${help:+  -- $help}")
        fi
    done < <(COMP_WORDS="${(j: :)words[1,CURRENT]}" %(complete_var)s=zsh_complete ${words[1]} 2>/dev/null)
    (( $#open )) && compadd -U -V open -S '' -l -d open_shown -a open
    (( $#ended )) && compadd -U -V ended -l -d ended_shown -a ended
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""
_FISH = """\
function %(complete_func)s
    COMP_WORDS=(commandline -cp | string collect) %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""
_OPEN = ('/', ':', '=')
"""Ends of completions after which the user goes on typing."""
_SPECIAL = frozenset(' \t\'"\\$&;()<>|`*!#{}[]')
"""Characters that are special in bash, except `?`, which bash takes literally if no file matches."""


class _Complete(ShellComplete):
    """Passes complete words to click as the user meant them, and returns completions of the last one."""

    words_from = 'COMP_WORDS'

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the complete words after the program's name, and the last one as far as it was typed."""
        line = os.environ.get(self.words_from, '')
        *words, last = split_arg_string(f'{line}x')[1:] or ['x']  # the x is not the user's
        return words, last[:-1]

    def get_completions(self, args: list[str], incomplete: str) -> list['CompletionItem[str]']:
        """Return the completions; nothing after an error."""
        try:
            return [each for item in super().get_completions(args, incomplete) for each in _with_paths(item)]
        except Exception:  # a shell could not show it
            return []


def _with_paths(item: 'CompletionItem[str]') -> list['CompletionItem[str]']:
    """Return a completion, or paths in place of one with which click asks the shell for paths."""
    if item.type not in ('file', 'dir'):
        return [item]
    return [CompletionItem(path) for path in complete_path(item.value) if item.type == 'file' or path.endswith('/')]


class BashAnswer(_Complete):
    """For bash, which replaces only what follows the last of certain characters."""

    name = 'bash'
    source_template = _BASH
    words_from = 'COMP_LINE'

    def complete(self) -> str:
        """Return a line for each completion."""
        args, incomplete = self.get_completion_args()
        breaks = '' if self._is_quoted() else os.environ.get('COMP_WORDBREAKS', '')
        behind = max((incomplete.rfind(each) for each in breaks), default=-1) + 1
        return '\n'.join(self._line(str(item.value), incomplete[:behind], bool(breaks))
                         for item in self.get_completions(args, incomplete))

    def _line(self, value: str, before: str, escaped: bool) -> str:
        shown = value.removeprefix(before)
        if escaped:
            shown = ''.join(f'\\{letter}' if letter in _SPECIAL else letter for letter in shown)
        return f'{"open" if value.endswith(_OPEN) else "ended"},{shown}'

    def _is_quoted(self) -> bool:
        """Return whether the word is in quotes that have not ended."""
        import shlex
        try:
            shlex.split(os.environ.get(self.words_from, ''))
        except ValueError:
            return True
        return False


class ZshAnswer(_Complete):
    """For zsh."""

    name = ZshComplete.name
    source_template = _ZSH

    def format_completion(self, item: 'CompletionItem[Any]') -> str:
        """Return kind, value and help."""
        return f'{"open" if item.value.endswith(_OPEN) else "ended"}\t{item.value}\t{item.help or ""}'


class FishAnswer(_Complete):
    """For fish, which adds no space after `=`, `/` and `:` by itself."""

    name = FishComplete.name
    source_template = _FISH

    def format_completion(self, item: 'CompletionItem[Any]') -> str:
        """Return value and help."""
        return f'{item.value}\t{item.help}' if item.help else str(item.value)


def add_shells() -> None:
    """Register these shells with click."""
    for each in (BashAnswer, ZshAnswer, FishAnswer):
        add_completion_class(each)
