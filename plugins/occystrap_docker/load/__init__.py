"""Archives streamed into a daemon."""
