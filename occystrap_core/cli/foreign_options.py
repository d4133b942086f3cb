"""Options of skopeo, crane and regctl, with what does the same here."""

_LOGIN = 'log in with occystrap login HOST'
_INSECURE = 'write ?insecure=true behind the location of that registry'
_ALL = 'registries and layouts get all platforms without an option; --platform=all says so'
_COMPRESSION = "write ?compression=… behind the destination's location"
_DOES_THE_SAME = {
    **dict.fromkeys(('--all', '--all-platforms', '--multi-arch'), _ALL),
    **dict.fromkeys(('--insecure', '--tls-verify', '--src-tls-verify', '--dest-tls-verify', '--plain-http'), _INSECURE),
    **dict.fromkeys(('--creds', '--src-creds', '--dest-creds'), _LOGIN),
    **dict.fromkeys(('--authfile', '--src-authfile', '--dest-authfile'), 'set REGISTRY_AUTH_FILE'),
    **dict.fromkeys(('--arch', '--os', '--override-arch', '--override-os'), 'use --platform OS/ARCHITECTURE'),
    **dict.fromkeys(('--compression', '--dest-compress', '--dest-compress-format'), _COMPRESSION),
    **dict.fromkeys(('--referrers', '--digest-tags'), "write ?referrers=true behind the source's location"),
    **dict.fromkeys(('--raw', '--config'), 'use -O json'),
    '--format': "write ?format=oci behind the destination's location",
    '--preserve-digests': 'digests stay as they are, unless a filter or an option of the destination changes the image',
    '--retry-times': 'use --retries',
    '--verbose': 'use --debug',
}


def what_does_the_same(option: str) -> str:
    """Return what to do instead of an option of another program; empty for other options."""
    return _DOES_THE_SAME.get(option, '')
