"""Files and streams: durable writes, temporary files, device reads, compression."""
