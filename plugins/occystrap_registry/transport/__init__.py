"""Connections to hosts: who is spoken to, how long is waited, what is tried again."""
