"""The tar:// plugin of occystrap."""
