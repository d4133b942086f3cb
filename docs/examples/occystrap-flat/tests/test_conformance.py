"""The writer of flat:// and its verifier keep the rules: each test of the kit is named like one."""
from occystrap_core.testing.writer_conformance import WriterConformance


class TestFlat(WriterConformance):
    plugin = 'occystrap_flat.plugin'
    uri = 'flat://{directory}/image'
