"""The command `completion`: the script with which a shell completes commands, options, schemes and filters."""
import click

from occystrap_core.terminal import write_text

COMPLETE = '_OCCYSTRAP_COMPLETE'
"""The variable with which a shell asks for completions."""


@click.command('completion')
@click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script for a shell, which completes commands, options, schemes, paths, repositories, tags, filters.

    \b
    bash: occystrap completion bash > ~/.local/share/bash-completion/completions/occystrap
    zsh:  occystrap completion zsh > a directory of fpath, as _occystrap
    fish: occystrap completion fish > ~/.config/fish/completions/occystrap.fish
    For this session alone: source <(occystrap completion bash)
    """
    from click.shell_completion import get_completion_class

    from occystrap_core.cli.completion_shells import add_shells
    add_shells()
    found = get_completion_class(shell)
    assert found
    write_text([found(context.find_root().command, {}, 'occystrap', COMPLETE).source()])
