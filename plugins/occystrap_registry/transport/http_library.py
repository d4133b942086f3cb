"""The library below httpx, imported here first: httpx does so at its first request, then on several threads at once."""
import sys
from typing import Any, cast

__all__ = ['httpcore']

# HTTP/2, which measures slower here, takes a tenth of the start-up time; whoever asks httpx for it still gets it.
_modules = cast(dict[str, Any], sys.modules)
_known = _modules.get('h2')
_modules['h2'] = None
try:
    import httpcore
finally:
    del _modules['h2']
    if _known is not None:
        _modules['h2'] = _known
