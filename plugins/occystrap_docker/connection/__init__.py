"""Connections to a daemon: addresses, contexts, certificates, sockets, ssh."""
