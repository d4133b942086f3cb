"""What an error is, as users meet it: an exit code, and one line that names the thing."""
from tests.services.command_line import CommandResult


def is_refused(result: CommandResult, *words: str, code: int = 1) -> None:
    """Fail unless the command ended with `code` and one line on stderr that has these words in it."""
    result.assert_code(code)
    lines = result.errors
    assert len(lines) == 1 and lines[0].startswith('occystrap: error: ') and result.out == '', result
    assert not any(each in lines[0] for each in ('Traceback', 'internal error', 'to its author')), result
    assert len(lines[0]) < 1000, result
    for word in words:
        assert word in lines[0], f'{word!r} is not in\n{result}'
