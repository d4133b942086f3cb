"""What the tests of addresses share: Docker's contexts as its command writes them."""
import hashlib
import json
from pathlib import Path


def make_context(config: Path, name: str, host: str, lenient: bool = False, certificates: bool = False) -> Path:
    """Write a context below the directory of Docker's settings; return the directory of its certificates."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = config / 'contexts/meta' / key
    meta.mkdir(parents=True)
    (meta / 'meta.json').write_text(json.dumps({
        'Name': name, 'Metadata': {}, 'Endpoints': {'docker': {'Host': host, 'SkipTLSVerify': lenient}}}))
    directory = config / 'contexts/tls' / key / 'docker'
    if certificates:
        directory.mkdir(parents=True)
        (directory / 'ca.pem').write_text('an authority')
    return directory
