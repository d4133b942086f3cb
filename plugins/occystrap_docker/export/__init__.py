"""Images as a daemon exports them: a stream of documents and layers."""
