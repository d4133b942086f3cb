"""The built-in filters are held to the rules that authors of plugins get as a kit."""
from occystrap_core.testing.filter_conformance import FilterConformance


class TestExclude(FilterConformance):
    filter = 'exclude:pattern=etc/*'


class TestNormalizeTimestamps(FilterConformance):
    filter = 'normalize-timestamps'


class TestOwner(FilterConformance):
    filter = 'owner:uid=5'


class TestInspect(FilterConformance):
    filter = 'inspect:file={directory}/report'


class TestAllow(FilterConformance):
    filter = 'allow:pattern=etc/*'


class TestSearch(FilterConformance):
    filter = 'search:pattern=*.conf,file={directory}/matches'
