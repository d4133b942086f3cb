"""The registry:// plugin of occystrap."""
import sys
from typing import Any, cast

# Where rich is installed, httpx imports its own command line with it: 30 ms at every start that nobody here needs.
cast(dict[str, Any], sys.modules).setdefault('httpx._main', None)
