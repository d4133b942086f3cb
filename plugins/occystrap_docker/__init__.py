"""The docker:// plugin of occystrap."""
