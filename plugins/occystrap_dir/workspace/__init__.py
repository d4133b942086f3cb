"""What all formats of directories share: locks, receipts, partial files, names that cannot lead outside."""
