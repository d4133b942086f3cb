"""The official writers of files are held to the rules that authors of plugins get as a kit."""
from occystrap_core import Settings
from occystrap_core.testing.writer_conformance import WriterConformance


UNPACKED = {'killed_later': 'a copy of the earlier tree has other inodes',
            'test_others_may_read_what_was_written': 'set-user-ID files of a tree must not be reached by others'}


class TestDir(WriterConformance):
    uri = 'dir://{directory}/image'
    private = ('.occystrap',)
    secondary = ('catalog.json',)


class TestDirOfSeveral(TestDir):
    uri = 'dir://{directory}/image?unique_names=true'
    settings = Settings(sync=True)


class TestLayout(WriterConformance):
    uri = 'layout://{directory}/image:stable'
    private = ('.occystrap',)
    secondary = ('oci-layout',)


class TestDockerArchive(WriterConformance):
    uri = 'tar://{directory}/image.tar'


class TestOciArchive(WriterConformance):
    uri = 'tar://{directory}/image.tar?format=oci'
    optional_kinds = ('layout', 'entry')  # of this format alone


class TestBundle(WriterConformance):
    inapplicable = UNPACKED
    uri = 'oci://{directory}/image'
    private = ('.occystrap',)
    added_entries_are_damage = True


class TestMounts(WriterConformance):
    inapplicable = UNPACKED
    uri = 'mounts://{directory}/image'
    private = ('.occystrap',)
    secondary = ('mount.sh',)
    optional_kinds = ('files',)  # one for each layer
    added_entries_are_damage = True
