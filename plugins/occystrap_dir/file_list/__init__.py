"""The list of the files that an unpacked tree must have, and comparing the tree with it."""
