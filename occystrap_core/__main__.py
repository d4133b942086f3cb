"""`python -m occystrap_core`, and the console script."""
import gc
import os
import sys

# Imports create many objects and hardly any garbage, so collecting meanwhile is useless. What a long run has in use at
# one collection, and drops, must not wait for dozens of others.
gc.set_threshold(100_000, 2, 2)
# Python lists an archive of its library, which hardly ever exists: to look into it importlib-metadata imports zipfile
sys.path[:] = [each for each in sys.path if not each.endswith('.zip') or os.path.exists(each)]

from occystrap_core.cli.main import main  # noqa: E402

if __name__ == '__main__':
    main()
