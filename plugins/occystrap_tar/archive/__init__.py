"""Archives as they lie: members, docker archives, OCI archives."""
