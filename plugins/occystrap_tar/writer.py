"""The writers of tar://: of docker archives and OCI archives, to a file or to stdout."""

from occystrap_core import ImageOutput, Location, Place, Settings


def tar_output(location: Location, settings: Settings) -> ImageOutput:
    """Return the writer for the format in the location; each is imported only where it is used."""
    oci = location.options['format'] == 'oci'
    if location.path == '-':
        from occystrap_tar.new_archive.stdout_output import DockerToStdout, OciToStdout
        return OciToStdout(location, settings) if oci else DockerToStdout(location, settings)
    location = location.with_path(Place.absolute(location.path))
    if oci:
        from occystrap_tar.new_archive.oci_output import OciArchiveOutput
        return OciArchiveOutput(location, settings)
    from occystrap_tar.new_archive.docker_output import DockerArchiveOutput
    return DockerArchiveOutput(location, settings)
