"""Commands that this plugin adds: login, logout, tags, demo."""
