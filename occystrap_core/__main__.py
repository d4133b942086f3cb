"""`python -m occystrap_core`, and the console script."""
from occystrap_core.cli.main import main

if __name__ == '__main__':
    main()
