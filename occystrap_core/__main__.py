"""`python -m occystrap_core`, and the console script."""
import gc
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while the rest is imported
gc.set_threshold(50_000)  # collecting among what is just imported takes a tenth of the start-up, and finds nothing

from occystrap_core.cli.main import main  # noqa: E402

if __name__ == '__main__':
    main()
