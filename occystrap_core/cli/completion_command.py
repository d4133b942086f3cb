"""The command `completion`: the script with which a shell completes commands, options, schemes and filters."""
import click

from occystrap_core.terminal import write_text


@click.command('completion')
@click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script for a shell, which completes commands, options, schemes and filters.

    \b
    bash: occystrap completion bash > ~/.local/share/bash-completion/completions/occystrap
    zsh:  occystrap completion zsh > a directory of fpath, as _occystrap
    fish: occystrap completion fish > ~/.config/fish/completions/occystrap.fish
    """
    from click.shell_completion import get_completion_class
    root = context.find_root()
    found = get_completion_class(shell)
    assert found
    script = found(root.command, {}, 'occystrap', '_OCCYSTRAP_COMPLETE')
    write_text([script.source_template % script.source_vars(), '\n'])
