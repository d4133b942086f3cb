"""Reading archives: members, docker archives, OCI archives."""
