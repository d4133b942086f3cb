"""quay://: the images of an organisation on Quay."""
