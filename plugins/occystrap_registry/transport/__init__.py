"""Connections to hosts: addresses, trust, timeouts, retries."""
