"""`python -m occystrap_core`, and the console script."""
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while the rest is imported

from occystrap_core.cli.main import main  # noqa: E402

if __name__ == '__main__':
    main()
