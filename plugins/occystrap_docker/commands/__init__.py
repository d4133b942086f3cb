"""Commands that this plugin adds: images."""
