"""What plugins declare: schemes of inputs and writers, filters, commands, executors. Declarations are cheap to make."""
from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from occystrap_core.api.options import Option
from occystrap_core.api.uri import Location
from occystrap_core.errors import PluginError


def load(target: str) -> Any:
    """Return what the import string `package.module:name` names; raises PluginError if it cannot be loaded."""
    module, _, name = target.partition(':')
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # importing a foreign module may raise anything
        raise PluginError(f'{target} cannot be loaded: {type(error).__name__}: {error}') from error


FILES = 'files'
"""The `completion` of schemes whose paths are those of the file system."""


class InputScheme(NamedTuple):
    """A scheme that images can be read from; `factory` names a class called with (location, settings).

    It returns an ImageInput or ImageList, and is called once for each source that is named (see ImageInput).

    `instead` says what to do if the scheme is given as a destination.

    `recognizes` returns whether a path, by its name and a look at the directory alone, is an image of this scheme, for
    users who give no scheme.

    `many`: a location may name many images. The scheme then also has the options of selection (`exclude`, `semver`,
    `newest` …), which the core applies to what `references` returns.

    `completion` is for shell completion: `files` for paths of the file system, or the import string of a function that
    takes the incomplete path and Settings and yields completions. Its errors are not shown, and it has two seconds.
    """

    name: str
    factory: str
    options: Sequence[Option] = ()
    help: str = ''
    aliases: Sequence[str] = ()
    instead: str = ''
    recognizes: Callable[[str], bool] = lambda path: False
    many: bool = False
    completion: str = ''

    @property
    def all_options(self) -> Sequence[Option]:
        """The scheme's own options and, with `many`, those of selection."""
        if not self.many:
            return self.options
        from occystrap_core.api.selection_options import SELECTION  # late: --help needs no patterns
        return (*self.options, *SELECTION)


class Many(NamedTuple):
    """Whether a destination takes several images: always (`accepted`), only if the option `needs` is true, or never.

    `unless` returns whether a location names a place for one image only. `reason` says why several are refused.
    """

    accepted: bool
    needs: str = ''
    reason: str = ''
    unless: Callable[[Location], bool] = lambda location: False


class WriterScheme(NamedTuple):
    """A scheme that images can be written to; `factory` names a class called with (location, settings).

    It returns an ImageOutput and is called once for each image, before anything is read (see ImageOutput).

    `reports_only` is for a service, such as a daemon, that returns the bytes of a document only together with all
    layers: fast verification then accepts the digests that it reports.

    `kept_receipts` is for destinations that keep the receipts of their images. It names a function that takes the
    Location that the user gave `occystrap verify`, its options unparsed, and returns a KeptReceipts. How a path names
    one of several images is up to the plugin. It raises UsageError, OutputError.

    `moved` names a function that takes a Receipt and a Location, and returns the receipt for the same image at that
    place, without requests. Schemes that keep manifests and blobs can check receipts of any such scheme
    (Receipt.located_by_digest); schemes that keep configs and the tars of layers can check any receipt of a single
    image (Receipt.located_by_diff_id). Without it, only receipts of this scheme are checked at another path.

    `expects` are the kinds of expectation, besides layers, that every receipt of this scheme has; a receipt that lacks
    one is refused.

    `whole_indexes` returns whether an index is copied to a location as it is, with all platforms, unless the user asks
    for one platform. The writer must have `holds_indexes`.

    `suffix` ends the names of new files of this scheme, for users who give no scheme.

    `by_digest`: an image without a tag may go to PATH@DIGEST instead of PATH:TAG.

    `to_stdout` returns whether a location is stdout, so that nothing else is written there.

    `deltas` returns whether what is written to a location may leave out blobs (--since).

    `removes` names a function for --prune. It takes the Receipts of images to remove, the Receipts of images that stay,
    the Settings, and whether this is a dry run, and returns for each image the reason why it stays, empty if it was
    removed.

    `notes_bringers` names a function for schemes with `kept_receipts` and `removes`. It takes Receipts of images that
    stay unchanged, and the Settings, and writes the bringers of these receipts to the kept receipts of the same images.
    It raises OutputError.

    `keeps` are patterns, as for fnmatch, of names in the destination's directory that belong to the format, where no
    file named by an option may be; `*` if all of them do.

    `servers` are the names of options that say which server a path is on, and how it is reached.

    `completion` is as for InputScheme.

    `is_whole`: what is at a path is carried and copied as one, like an archive, so `verify` reports images there that
    no receipt covers. An InputScheme of the same name lists them.
    """

    name: str
    factory: str
    options: Sequence[Option] = ()
    help: str = ''
    aliases: Sequence[str] = ()
    many: Many = Many(False, reason='it holds one image')
    reports_only: bool = False
    kept_receipts: str = ''
    moved: str = ''
    removes: str = ''
    notes_bringers: str = ''
    suffix: str = ''
    expects: Sequence[str] = ()
    whole_indexes: Callable[[Location], bool] = lambda location: False
    deltas: Callable[[Location], bool] = lambda location: False
    by_digest: bool = False
    to_stdout: Callable[[Location], bool] = lambda location: False
    keeps: Sequence[str] = ()
    completion: str = ''
    is_whole: bool = False
    servers: Sequence[str] = ()

    @property
    def all_options(self) -> Sequence[Option]:
        """The scheme's own options."""
        return self.options

    def form(self, location: Location) -> Hashable:
        """Return a key for what determines the output besides the image: the scheme, and the options with `decides`."""
        decisive = (option.name for option in self.options if option.decides)
        return self.name, *((name, str(location.options[name])) for name in decisive)


class FilterKind(NamedTuple):
    """A filter; `factory` names a class called with (option values, settings).

    It returns an ImageFilter and is called once for each source and --filter: one filter serves all images of the
    source.
    """

    name: str
    factory: str
    options: Sequence[Option] = ()
    help: str = ''


class ExecutorKind(NamedTuple):
    """What copies the images of `process --executor`; `factory` names a function called with (option values, note).

    It returns a context manager that yields a `concurrent.futures.Executor` and its number of slots: how many images
    may be copied at once, one in each worker process. `note` takes a line for the user. Without a factory, this process
    copies them.

    What is submitted is a picklable callable without arguments. It has a method `stop()`, which any thread of the
    worker may call. The worker must call it when the future is cancelled, when the client is gone, and when the context
    ends with an exception, and must end the call soon enough that no tag moves later than 5 s after that.

    A future raises `concurrent.futures.BrokenExecutor` if its worker died or does not respond. The core then submits
    the image again, at most three times in all, so nothing else may retry it. An OccystrapError of a future or of
    `submit` means that the executor is gone, and ends the run.

    The executor may have two more methods. `at_work()` returns the workers that have an image now, each by the name
    that `worker_name()` returns there; it is called on any thread. `leave_out(worker, why)` says that a worker, such as
    one without a login, must get no more images; other workers get those that it had.

    `check` names a function called with the options' values before anything else, also for a dry run; it raises
    UsageError for impossible values.
    """

    name: str
    factory: str = ''
    options: Sequence[Option] = ()
    help: str = ''
    check: str = ''


class CommandDeclaration(NamedTuple):
    """A command of the command line; `target` names a click command, imported when it is run."""

    name: str
    target: str
    help: str = ''


Declaration = InputScheme | WriterScheme | FilterKind | ExecutorKind | CommandDeclaration
