"""The dir:// plugin of occystrap."""
