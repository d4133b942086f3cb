"""What lies where in a bundle."""
from occystrap_dir.workspace.workspace import STATE

ROOTFS, CONFIG = 'rootfs', 'config.json'
FILES = '.occystrap/rootfs.mtree'
"""What must be in the rootfs, line by line."""
KEPT = '.occystrap/receipts/bundle.json'
MARKS = (ROOTFS, CONFIG, STATE)
"""What tells a bundle of ours, which may be replaced, from other directories."""
