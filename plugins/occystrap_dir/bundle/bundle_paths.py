"""Paths in a bundle."""
from occystrap_dir.workspace.partial_files import STATE

ROOTFS, CONFIG = 'rootfs', 'config.json'
FILES = '.occystrap/rootfs.mtree'
"""The list of the files in the rootfs."""
KEPT = '.occystrap/receipts/bundle.json'
MARKS = (ROOTFS, CONFIG, STATE)
"""The names in a bundle of ours, which may be replaced, unlike other directories."""
