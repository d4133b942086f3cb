"""The registry:// plugin of occystrap."""
