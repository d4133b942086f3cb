"""The command `seal`: list the images of a bucket for programs that read image layouts."""
import click

from occystrap_core import Location, Settings, UsageError
from occystrap_core.files import print_message


@click.command()
@click.argument('location', metavar='s3://BUCKET[/PREFIX]')
def seal(location: str) -> None:
    """Write oci-layout and index.json from what runs have written.

    A copy of all objects to a directory is then an OCI image layout. Runs may write meanwhile: seal again after them.
    """
    from occystrap_s3.layout.bucket_layout import BucketLayout
    from occystrap_s3.layout.sealed_index import seal as write
    from occystrap_s3.options import CONNECTION
    place = Location.parse(location, CONNECTION)
    if place.scheme != 's3':
        raise UsageError(f'{place.scheme}:// is no object storage, and needs no seal: give s3://BUCKET[/PREFIX]')
    settings = Settings()
    try:
        layout = BucketLayout.at(place, settings)
        number, alone = write(layout)
    finally:
        settings.shared.close()
    print_message(f'{layout}: index.json lists {number} image{"" if number == 1 else "s"}')
    if not alone:
        print_message(f'{layout.bucket.endpoint} has no conditional writes: seal again if another run sealed meanwhile')
