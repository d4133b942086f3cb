"""`python -m occystrap_core`, and the console script."""
import gc

gc.set_threshold(100_000)  # imports create many objects and hardly any garbage, so collecting meanwhile is useless

from occystrap_core.cli.main import main  # noqa: E402

if __name__ == '__main__':
    main()
