"""The filtering proxy: between clients and a registry, images are filtered, stored downstream, and verified there."""
