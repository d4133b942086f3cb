"""Credentials as users have them: given for a run, in files of docker and Podman, kept by helpers."""
from occystrap_registry.credentials.finding import Logins, find_login
from occystrap_registry.credentials.given import given_credentials
from occystrap_registry.credentials.logins import Credentials, Login

__all__ = ['Credentials', 'Login', 'Logins', 'find_login', 'given_credentials']
