"""flat:// for occystrap."""
