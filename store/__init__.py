"""The event store: streams, the feed, the codec, and the servers they live on."""

if __name__ != "whence.store":
    raise ImportError(
        f"import whence.store, not {__name__}: the folder belongs to the package whence"
    )
