"""Images and layers as lazy values, streams that check themselves, compression."""
