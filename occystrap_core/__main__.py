"""`python -m occystrap_core`, and the console script."""
import gc
import os
import sys

gc.set_threshold(100_000)  # imports create many objects and hardly any garbage, so collecting meanwhile is useless
# Python lists an archive of its library, which hardly ever exists: to look into it importlib-metadata imports zipfile
sys.path[:] = [each for each in sys.path if not each.endswith('.zip') or os.path.exists(each)]

from occystrap_core.cli.main import main  # noqa: E402

if __name__ == '__main__':
    main()
