"""Requests to a daemon, and its answers."""
