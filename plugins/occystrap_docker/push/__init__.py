"""dockerpush://: images that a daemon pushes to a registry within this program."""
