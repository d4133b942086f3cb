"""The commands of this plugin: login, logout, tags, demo."""
