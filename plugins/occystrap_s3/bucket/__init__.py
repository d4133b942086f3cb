"""The bucket: requests, their retries and errors, streams of bytes in both directions."""
