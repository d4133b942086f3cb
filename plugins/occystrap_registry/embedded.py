"""The embedded registry for other plugins, with the default `Storage` or their own."""
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.storage import PushedManifest, Storage

__all__ = ['Problem', 'PushedManifest', 'RegistryServer', 'Storage']
