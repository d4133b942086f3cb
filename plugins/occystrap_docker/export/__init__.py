"""Exports of a daemon: streams of documents and layers."""
