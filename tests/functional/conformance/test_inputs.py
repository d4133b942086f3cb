"""The official inputs are held to the rules that authors of plugins get as a kit."""
from occystrap_core.testing.input_conformance import InputConformance


class TestDirInput(InputConformance):
    uri = 'dir://{directory}/image'
    private = ('.occystrap',)


class TestLayoutInput(InputConformance):
    uri = 'layout://{directory}/image'
    private = ('.occystrap',)


class TestDockerArchiveInput(InputConformance):
    uri = 'tar://{directory}/image.tar'


class TestOciArchiveInput(InputConformance):
    uri = 'tar://{directory}/image.tar'
    written = 'tar://{directory}/image.tar?format=oci'
