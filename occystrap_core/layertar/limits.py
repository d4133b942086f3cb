"""What one tar entry may ask of whoever reads it; every reader of tars in the project keeps to these."""
EXTENDED_CAP = 1 << 20
"""Bytes of one extended header, and of one map of a sparse file: what Go's archive/tar allows."""
EXTENDED_COUNT = 16
"""Extended headers before one entry."""
RECORD_COUNT = 1 << 16
"""PAX records of one extended header."""
NAME_CAP = 4095
"""Bytes of a path or of the target of a link: Linux's PATH_MAX without its zero byte."""
SIZE_CAP = 1 << 62
"""Bytes that an entry may say it has (CVE-2025-8194)."""
