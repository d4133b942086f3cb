"""What a daemon is asked and how it answers."""
